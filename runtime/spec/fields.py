"""What the sections of the spec are written in: kinds of values, markers and the base of every section.

A section is a pydantic model whose attribute names are the YAML keys. Each field says all that there is to know of it, once:

    class QueueSpec(Section):
        timeout: Live[Duration] = setting("5m", "How long one try of a job may take.", example="60s")
        queue: Annotated[Text, Ref("queues")] = setting(..., "Where the jobs go.", example="email")

Type, default, meaning, example, whether it changes live and what it refers to reach the JSON Schema (`runtime.spec.schema`)
from here, and from there `validate`, `explain`, `show`, the reference page and the editors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SecretStr,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic.functional_validators import BeforeValidator
from pydantic.json_schema import JsonSchemaValue
from pydantic.types import Strict
from pydantic_core import CoreSchema, core_schema

from runtime.spec import units
from runtime.spec.units import Money as Amount
from runtime.spec.units import Rate as Frequency

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class Section(BaseModel):
    """The base of every mapping in the spec with fixed keys.

    Unknown keys are errors, keys that begin with `x-` are the user's own, and null means the default. Where a YAML key is a
    Python keyword or a method of pydantic, the attribute has a trailing underscore: `from_` is `from`.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        hide_input_in_errors=True,
        alias_generator=lambda name: name.removesuffix("_"),
        validate_by_name=False,
        protected_namespaces=(),
    )

    @model_validator(mode="before")
    @classmethod
    def _what_is_set(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return {
            key: value for key, value in data.items() if value is not None and not str(key).startswith("x-")
        }


def setting(default: Any, meaning: str, *, example: Any) -> Any:
    """A field of a section.

    Args:
        default: as it would be written in YAML, `"5m"`; `...` where the field must be given.
        meaning: one sentence.
        example: a value as it would be written in YAML.
    """
    return Field(default, description=meaning, examples=[example])


def section(meaning: str) -> Any:
    """A field that is a section, or a mapping, of its own: empty by default, so that its own defaults hold."""
    return Field({}, description=meaning)


def live_fields(model: type[Section]) -> frozenset[str]:
    """The YAML keys of a section that change without a restart.

    Example:
        >>> from runtime.services.jobs.spec import QueueSpec
        >>> sorted(live_fields(QueueSpec))
        ['concurrency', 'rate']
    """
    return frozenset(
        field.alias or name
        for name, field in model.model_fields.items()
        if any(isinstance(mark, _Live) for mark in field.metadata)
    )


# Markers


class _Live:
    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(core), "x-live": True}


Live = Annotated[T, _Live()]
"""The field changes in place, without a restart: `Live[Rate]`."""


class Ref:
    """The value names an entry elsewhere in the spec: `Annotated[Text, Ref("queues")]`.

    Args:
        target: the path of the mapping that holds the entry (`queues`, `ai.chains`), or `handlers`, `subscribers`
            (functions of the plugins and the built-in ones), `ai.models` (`provider/model`), `events.types`.
    """

    def __init__(self, target: str) -> None:
        self.target = target

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(core), "x-ref": self.target}


class Shorthand:
    """A list may stand for the whole section and means its one field: `[a, b]` for `{models: [a, b]}`.

    Args:
        field: the field that the list is.
    """

    def __init__(self, field: str) -> None:
        self.field = field

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def expand(value: Any) -> Any:
            return {self.field: value} if isinstance(value, list | tuple) else value

        return core_schema.no_info_before_validator_function(expand, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(core), "x-shorthand": self.field}


class BuiltIn:
    """Entries of a mapping that exist without being declared; what the spec says of one is laid over its figures.

    Args:
        entries: the entries as they would be written in YAML.
    """

    def __init__(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        self.entries = entries

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(core), "x-built-in": self.entries}


class Scalar:
    """A kind of text: how it is written, and what Python value it becomes.

    Args:
        name: its entry under `$defs` in the JSON Schema.
        parse: makes the Python value; raises ValueError with what to write instead.
        schema: its JSON Schema; `x-kind` drives the messages of `runtime validate`.
    """

    def __init__(self, name: str, parse: Callable[[Any], Any], **schema: Any) -> None:
        self.name = name
        self.parse = parse
        self.schema = {"type": "string", **{key.replace("x_", "x-"): value for key, value in schema.items()}}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"x-scalar": self.name, **self.schema}


def _matching(pattern: str, otherwise: str) -> Callable[[Any], str]:
    compiled = re.compile(pattern)

    def parse(value: Any) -> str:
        if not isinstance(value, str) or compiled.search(value) is None:
            raise ValueError(otherwise)
        return value

    return parse


# Plain values

Text = Annotated[str, StringConstraints(strict=True, min_length=1)]
Switch = Annotated[bool, Strict()]
Natural = Annotated[int, Strict(), Field(ge=0)]
Positive = Annotated[int, Strict(), Field(ge=1)]
Integer = Annotated[int, Strict()]
Fraction = Annotated[float, Strict(), Field(ge=0, le=1)]
Port = Annotated[int, Strict(), Field(ge=0, le=65535)]
Items = tuple[T, ...]
"""An ordered list."""


# Quantities

Duration = Annotated[
    float,
    Scalar(
        "Duration",
        units.duration,
        pattern=units.DURATION,
        x_kind="duration",
        description="A length of time, greater than zero, with its unit (ms, s, m, h, d).",
        examples=["500ms", "30s", "15m", "1h30m", "365d"],
    ),
]
"""Seconds."""

DurationOrZero = Annotated[
    float,
    Scalar(
        "DurationOrZero",
        lambda value: units.duration(value, zero=True),
        pattern=units.DURATION_OR_ZERO,
        x_kind="duration",
        description="A length of time with its unit (ms, s, m, h, d); `0s` is allowed.",
        examples=["0s", "30s"],
    ),
]
"""Seconds, or none at all."""

Size = Annotated[
    int,
    Scalar(
        "Size",
        units.size,
        pattern=units.SIZE,
        x_kind="size",
        description="A number of bytes with its unit: kB, MB, GB are powers of 1000, KiB, MiB, GiB of 1024.",
        examples=["256kB", "16MB", "16MiB"],
    ),
]
"""Bytes."""

Rate = Annotated[
    Frequency,
    Scalar(
        "Rate",
        units.rate,
        pattern=units.RATE,
        x_kind="rate",
        description="So many in a unit of time (s, m, h, d).",
        examples=["10/s", "100/m"],
    ),
]

Money = Annotated[
    Amount,
    Scalar(
        "Money",
        units.money,
        pattern=units.MONEY,
        x_kind="money",
        description="An amount and its currency.",
        examples=["5.00 USD"],
    ),
]


def _decimal(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a number: write a price such as 1.25")
    return Decimal(repr(value))


Price = Annotated[
    Decimal, BeforeValidator(_decimal), Field(ge=0), WithJsonSchema({"type": "number", "minimum": 0})
]
"""An exact number, greater than or equal to zero."""


# Texts with a form of their own


def _path(value: Any) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("not a path: write a file or folder name")
    return Path(value)


PathField = Annotated[
    Path,
    Scalar(
        "Path",
        _path,
        minLength=1,
        x_kind="path",
        description="A path, relative to the file in which it is written.",
        examples=["schemas/jobs/resize.json"],
    ),
]

StatePath = Annotated[
    Path,
    Scalar(
        "StatePath",
        _path,
        minLength=1,
        x_kind="path",
        x_base="root",
        description="A path, relative to the folder of the root spec.",
        examples=[".runtime"],
    ),
]


def _secret(value: Any) -> SecretStr:
    if isinstance(value, SecretStr):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError('a secret must be text: write a reference, such as "${API_KEY}"')
    return SecretStr(value)


Secret = Annotated[
    SecretStr,
    Scalar(
        "Secret",
        _secret,
        minLength=1,
        x_kind="secret",
        x_secret=True,
        description="A secret, best written as a reference; it never appears in a log, an error or `show`.",
        examples=["${API_KEY}", "${file:/run/secrets/api_key}", "${vault:postgres#password}"],
    ),
]

NAME = r"^[a-z][a-z0-9_-]{0,62}$"
Name = Annotated[
    str,
    Scalar(
        "Name",
        _matching(NAME, "not a name: begin with a letter, then lower-case letters, digits, - and _"),
        pattern=NAME,
        description="Lower-case letters, digits, `-` and `_`, beginning with a letter.",
        examples=["core-services"],
    ),
]

DOTTED = r"^[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*$"
DottedName = Annotated[
    str,
    Scalar(
        "DottedName",
        _matching(
            DOTTED, 'not a name: write words of lower-case letters with dots between, such as "credits.used"'
        ),
        pattern=DOTTED,
        description="Words of lower-case letters, digits, `-` and `_` with dots between.",
        examples=["credits.used"],
    ),
]

MODULE = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"
ModuleName = Annotated[
    str,
    Scalar(
        "Module",
        _matching(MODULE, 'not a Python module: write its dotted name, such as "acme.tasks"'),
        pattern=MODULE,
        description="A Python module by its dotted name.",
        examples=["tasks", "acme.tasks"],
    ),
]

MODEL = r"^[a-z][a-z0-9_-]{0,62}/\S+$"
ModelName = Annotated[
    str,
    Scalar(
        "Model",
        _matching(MODEL, 'not a model: write provider/model, such as "openai/gpt-5"'),
        pattern=MODEL,
        description="A declared provider and one of its models, `provider/model`.",
        examples=["openai/gpt-5"],
    ),
    Ref("ai.models"),
]

URL = r"^https?://[^\s/?#]+\S*$"
Url = Annotated[
    str,
    Scalar(
        "Url",
        _matching(URL, 'not a web address: write "https://example.com"'),
        pattern=URL,
        x_kind="url",
        description="An http or https address.",
        examples=["https://example.com"],
    ),
]

EMAIL = r"^([^<>@\r\n]*<[^<>@\s]+@[^<>@\s]+>|[^<>@\s]+@[^<>@\s]+)$"
EmailAddress = Annotated[
    str,
    Scalar(
        "Email",
        _matching(EMAIL, 'not an e-mail address: write "ops@example.com" or "Ops <ops@example.com>"'),
        pattern=EMAIL,
        x_kind="email",
        description="An e-mail address, with a display name or without.",
        examples=["ops@example.com", "Ops <ops@example.com>"],
    ),
]

LANGUAGE = r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
Language = Annotated[
    str,
    Scalar(
        "Language",
        _matching(LANGUAGE, 'not a language: write its tag, such as "en" or "fr-CA"'),
        pattern=LANGUAGE,
        description="A language tag.",
        examples=["en", "fr-CA"],
    ),
]

CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
ClockTime = Annotated[
    str,
    Scalar(
        "ClockTime",
        _matching(CLOCK, 'not a time of day: write "22:00"'),
        pattern=CLOCK,
        description="A time of day in 24 hours.",
        examples=["22:00"],
    ),
]


def _timezone(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError('not a time zone: write its name, such as "Europe/Vienna"')
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'no time zone "{value}": write a name such as "Europe/Vienna"') from None
    return value


TimeZone = Annotated[
    str,
    Scalar(
        "TimeZone",
        _timezone,
        minLength=1,
        x_kind="timezone",
        description="The name of a time zone in the IANA database.",
        examples=["UTC", "Europe/Vienna"],
    ),
]


def _cron_pattern() -> str:
    def names(words: str) -> str:
        return "|".join([*words.split(), *words.upper().split()])

    def column(value: str) -> str:
        item = rf"(\*|({value})(-({value}))?)(/[1-9][0-9]?)?"
        return f"{item}(,{item})*"

    columns = (
        "[0-5]?[0-9]",
        "[01]?[0-9]|2[0-3]",
        "0?[1-9]|[12][0-9]|3[01]",
        "0?[1-9]|1[0-2]|" + names("jan feb mar apr may jun jul aug sep oct nov dec"),
        "[0-7]|" + names("sun mon tue wed thu fri sat"),
    )
    return "^" + " +".join(column(value) for value in columns) + "$"


CRON = _cron_pattern()
Cron = Annotated[
    str,
    Scalar(
        "Cron",
        _matching(
            CRON, 'not a cron expression: write minute, hour, day, month and weekday, such as "17 3 * * *"'
        ),
        pattern=CRON,
        x_kind="cron",
        description="Five columns: minute, hour, day of month, month, day of week (0 and 7 are Sunday).",
        examples=["17 3 * * *", "*/15 8-18 * * mon-fri"],
    ),
]


# Mappings keyed by name


class Entries:
    """The keys of a mapping are names that the user gives.

    Keys that begin with `x-` are no entries, and an entry without content (`payment.received:`) takes its defaults.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._named, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(core), "x-entries": True}

    @staticmethod
    def _named(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {
            key: {} if entry is None else entry
            for key, entry in value.items()
            if not str(key).startswith("x-")
        }


Keyed = Annotated[dict[K, V], Entries()]
"""Entries by a key of a certain kind: `Keyed[ModelName, PriceSpec]`."""

Named = Keyed[Name, V]
"""Entries by name: `Named[QueueSpec]`."""

Dotted = Keyed[DottedName, V]
"""Entries by dotted name, as events have: `Dotted[EventTypeSpec]`."""

Values = dict[str, Any]
"""Free JSON values by name, as payloads have."""


# Shapes that several sections share


class Retry(Section):
    """How often and how soon a failed piece of work is tried again."""

    attempts: Positive = setting(5, "Tries in all, the first one counted.", example=3)
    backoff: DurationOrZero = setting(
        "10s", "The pause before the second try; each further one is twice as long.", example="1s"
    )
    max: Duration = setting("10m", "The longest pause between two tries.", example="1h")
    jitter: Switch = setting(
        True, "Whether pauses vary at random, so that failed work does not return all at once.", example=False
    )


class Breaker(Section):
    """When a failing provider is left alone for a while."""

    failures: Positive = setting(5, "Failures within the window that open the breaker.", example=3)
    window: Duration = setting("60s", "The time in which failures are counted together.", example="30s")
    cooldown: Duration = setting(
        "30s", "How long an open breaker waits before it lets one call probe.", example="2m"
    )
