"""What a value in the spec may be: quantities, names, addresses and other texts with a form of their own.

A kind is a type for the attribute of a section (`timeout: Duration`). Its Python value is what the type says,
and its form, its meaning and examples are an entry under `$defs` in the JSON Schema.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SecretStr,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.functional_validators import BeforeValidator
from pydantic.types import Strict
from pydantic_core import CoreSchema, core_schema

from runtime.spec import units
from runtime.spec.units import Money as Amount
from runtime.spec.units import Rate as Frequency

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Plain values

Text = Annotated[str, StringConstraints(strict=True, min_length=1)]
Switch = Annotated[bool, Strict()]
Integer = Annotated[int, Strict()]
Natural = Annotated[int, Strict(), Field(ge=0)]
Positive = Annotated[int, Strict(), Field(ge=1)]
Fraction = Annotated[float, Strict(), Field(ge=0, le=1)]
Port = Annotated[int, Strict(), Field(ge=0, le=65535)]


def _price(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a number: write a price such as 1.25")
    return Decimal(repr(value))


Price = Annotated[Decimal, BeforeValidator(_price), Field(ge=0), WithJsonSchema({"type": "number", "minimum": 0})]
"""An exact number."""


# Texts with a form of their own


class Kind:
    """A kind of text: how it is written, and what Python value it becomes.

    Args:
        name: its entry under `$defs` in the JSON Schema.
        meaning: one sentence.
        examples: texts of this kind.
        parse: makes the Python value; raises ValueError with what to write instead.
        schema: further words of its JSON Schema, `_` for `-`: `x_kind="duration"`.
    """

    def __init__(
        self, name: str, meaning: str, *, examples: Sequence[str], parse: Callable[[Any], Any], **schema: Any
    ) -> None:
        words = {word.replace("_", "-"): value for word, value in schema.items()}
        self.name = name
        self.parse = parse
        self.schema = {"description": meaning, "type": "string", **words, "examples": list(examples)}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"x-definition": self}


class Form(Kind):
    """A kind of text that is what a pattern says, and stays text.

    Args:
        name: its entry under `$defs` in the JSON Schema.
        meaning: one sentence.
        pattern: what it looks like.
        refusal: what to write instead of a text that does not fit.
        examples: texts of this kind.
        schema: further words of its JSON Schema.
    """

    def __init__(
        self, name: str, meaning: str, *, pattern: str, refusal: str, examples: Sequence[str], **schema: Any
    ) -> None:
        compiled = re.compile(pattern)

        def parse(value: Any) -> str:
            if not isinstance(value, str) or compiled.search(value) is None:
                raise ValueError(refusal)
            return value

        super().__init__(name, meaning, examples=examples, parse=parse, pattern=pattern, **schema)


Duration = Annotated[
    float,
    Kind(
        "Duration",
        "A length of time, greater than zero, with its unit (ms, s, m, h, d).",
        examples=["500ms", "30s", "15m", "1h30m", "365d"],
        parse=units.duration,
        pattern=units.DURATION,
        x_kind="duration",
    ),
]
"""Seconds."""

DurationOrZero = Annotated[
    float,
    Kind(
        "DurationOrZero",
        "A length of time with its unit (ms, s, m, h, d); `0s` is allowed.",
        examples=["0s", "30s"],
        parse=lambda value: units.duration(value, zero=True),
        pattern=units.DURATION_OR_ZERO,
        x_kind="duration",
    ),
]
"""Seconds, or none at all."""

Size = Annotated[
    int,
    Kind(
        "Size",
        "A number of bytes with its unit: kB, MB, GB are powers of 1000, KiB, MiB, GiB of 1024.",
        examples=["256kB", "16MB", "16MiB"],
        parse=units.size,
        pattern=units.SIZE,
        x_kind="size",
    ),
]
"""Bytes."""

Rate = Annotated[
    Frequency,
    Kind(
        "Rate",
        "So many in a unit of time (s, m, h, d).",
        examples=["10/s", "100/m"],
        parse=units.rate,
        pattern=units.RATE,
        x_kind="rate",
    ),
]


_DOLLARS = units.MONEY.replace("[A-Z]{3}", "USD")


def _dollars(value: Any) -> Amount:
    if not isinstance(value, str) or re.search(_DOLLARS, value) is None:
        raise ValueError('not an amount of US dollars: write "5.00 USD"')
    return units.money(value)


Dollars = Annotated[
    Amount,
    Kind(
        "Dollars",
        "An amount of US dollars, in which models are priced.",
        examples=["5.00 USD"],
        parse=_dollars,
        pattern=_DOLLARS,
        x_kind="money",
    ),
]


def _path(value: Any) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("not a path: write the name of a file or folder")
    return Path(value)


PathField = Annotated[
    Path,
    Kind(
        "Path",
        "A path, relative to the file in which it is written.",
        examples=["schemas/jobs/resize.json"],
        parse=_path,
        minLength=1,
        x_kind="path",
    ),
]

StatePath = Annotated[
    Path,
    Kind(
        "StatePath",
        "A path, relative to the folder of the root spec.",
        examples=[".runtime"],
        parse=_path,
        minLength=1,
        x_kind="path",
        x_base="root",
    ),
]


def _secret(value: Any) -> SecretStr:
    if isinstance(value, SecretStr):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError('not a secret: write a reference, such as "${API_KEY}"')
    return SecretStr(value)


Secret = Annotated[
    SecretStr,
    Kind(
        "Secret",
        "A secret, best written as a reference; it never appears in a log, an error or `show`.",
        examples=["${API_KEY}", "${file:/run/secrets/api_key}", "${vault:postgres#password}"],
        parse=_secret,
        minLength=1,
        x_kind="secret",
        x_secret=True,
    ),
]


def _template(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError('not a text: write one such as "Sum up: {{ steps.facts.output }}"')
    return value


Template = Annotated[
    str,
    Kind(
        "Template",
        "A text in which each `{{ … }}` is filled in when it is run; one that is a single `{{ … }}` keeps its type.",
        examples=["{{ input.topic }}", "Sum up: {{ steps.facts.output }}"],
        parse=_template,
        minLength=1,
        x_kind="template",
    ),
]

Condition = Annotated[
    str,
    Kind(
        "Condition",
        "An expression that holds or does not, with `{{ }}` around it or without.",
        examples=["input.urgent", "{{ steps.facts.output.count > 3 }}"],
        parse=_template,
        minLength=1,
        x_kind="condition",
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
    Kind(
        "TimeZone",
        "The name of a time zone in the IANA database.",
        examples=["UTC", "Europe/Vienna"],
        parse=_timezone,
        minLength=1,
        x_kind="timezone",
    ),
]

Name = Annotated[
    str,
    Form(
        "Name",
        "Lower-case letters, digits, `-` and `_`, beginning with a letter.",
        pattern=r"^[a-z][a-z0-9_-]{0,62}$",
        refusal="not a name: begin with a letter, then lower-case letters, digits, - and _",
        examples=["core-services"],
    ),
]

DottedName = Annotated[
    str,
    Form(
        "DottedName",
        "Words of lower-case letters, digits, `-` and `_` with dots between.",
        pattern=r"^[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*$",
        refusal='not a name: write words of lower-case letters with dots between, such as "credits.used"',
        examples=["credits.used"],
    ),
]

ModuleName = Annotated[
    str,
    Form(
        "ModuleName",
        "A Python module by its dotted name.",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$",
        refusal='not a Python module: write its dotted name, such as "acme.tasks"',
        examples=["tasks", "acme.tasks"],
    ),
]

ModelName = Annotated[
    str,
    Form(
        "ModelName",
        "A declared provider and one of its models, `provider/model`.",
        pattern=r"^[a-z][a-z0-9_-]{0,62}/\S+$",
        refusal='not a model: write provider/model, such as "openai/gpt-5"',
        examples=["openai/gpt-5"],
    ),
]

Url = Annotated[
    str,
    Form(
        "Url",
        "An http or https address.",
        pattern=r"^https?://[^\s/?#]+\S*$",
        refusal='not a web address: write "https://example.com"',
        examples=["https://example.com"],
        x_kind="url",
    ),
]

EmailAddress = Annotated[
    str,
    Form(
        "EmailAddress",
        "An e-mail address, with a display name or without.",
        pattern=r"^([^<>@\r\n]*<[^<>@\s]+@[^<>@\s]+>|[^<>@\s]+@[^<>@\s]+)$",
        refusal='not an e-mail address: write "ops@example.com" or "Ops <ops@example.com>"',
        examples=["ops@example.com", "Ops <ops@example.com>"],
        x_kind="email",
    ),
]

Language = Annotated[
    str,
    Form(
        "Language",
        "A language tag.",
        pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
        refusal='not a language: write its tag, such as "en" or "fr-CA"',
        examples=["en", "fr-CA"],
    ),
]

ClockTime = Annotated[
    str,
    Form(
        "ClockTime",
        "A time of day, in 24 hours.",
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
        refusal='not a time of day: write it in 24 hours, such as "22:00"',
        examples=["22:00"],
    ),
]


def _cron_pattern() -> str:
    def words(text: str) -> str:
        return "|".join([*text.split(), *text.upper().split()])

    def column(value: str) -> str:
        item = rf"(\*|({value})(-({value}))?)(/[1-9][0-9]?)?"
        return f"{item}(,{item})*"

    columns = (
        "[0-5]?[0-9]",
        "[01]?[0-9]|2[0-3]",
        "0?[1-9]|[12][0-9]|3[01]",
        "0?[1-9]|1[0-2]|" + words("jan feb mar apr may jun jul aug sep oct nov dec"),
        "[0-7]|" + words("sun mon tue wed thu fri sat"),
    )
    return "^" + " +".join(column(value) for value in columns) + "$"


Cron = Annotated[
    str,
    Form(
        "Cron",
        "Five columns: minute, hour, day of month, month, day of week (0 and 7 are Sunday).",
        pattern=_cron_pattern(),
        refusal='not a cron expression: write minute, hour, day, month and weekday, such as "17 3 * * *"',
        examples=["17 3 * * *", "*/15 8-18 * * mon-fri"],
        x_kind="cron",
    ),
]
