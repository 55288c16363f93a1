"""What the sections of the spec are written in: their base, their fields and the markers on them.

A section is a pydantic model whose attribute names are the YAML keys. A field says once all that there is to
know of it:

    class ScheduleSpec(Section):
        queue: Annotated[Text, Ref("queues")] = setting(..., "The queue it goes to.", example="export")
        pause: Live[Duration] = setting("5m", "How long to wait between two jobs.", example="60s")

Type, default, meaning, example, what it refers to and whether it changes live reach the JSON Schema from
here, and from there `validate`, `explain`, `show`, the reference page and the editors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from runtime.spec.kinds import DottedName, Duration, DurationOrZero, Name, Positive, Switch

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class Section(BaseModel):
    """The base of every mapping in the spec with fixed keys.

    Unknown keys are errors, keys that begin with `x-` are the user's own, and null means the default. Where a
    YAML key is a Python keyword or a method of pydantic, the attribute has a trailing underscore: `from_` is
    `from`.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        hide_input_in_errors=True,  # it may be a secret
        alias_generator=lambda name: name.removesuffix("_"),
        protected_namespaces=(),
    )

    @model_validator(mode="before")
    @classmethod
    def _what_is_set(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        unset = {field.alias for field in cls.model_fields.values() if data.get(field.alias) is None}
        return {key: value for key, value in data.items() if key not in unset and not _is_the_users(key)}


def setting(default: Any, meaning: str, *, example: Any) -> Any:
    """A field of a section.

    Args:
        default: as it would be written in YAML, `"5m"`; `...` where the field must be given.
        meaning: one sentence.
        example: a value as it would be written in YAML.
    """
    return Field(default, description=meaning, examples=[example])


def section(meaning: str) -> Any:
    """A field that is itself a section, or entries by name: empty by default, so that its own defaults hold.

    Args:
        meaning: one sentence.
    """
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
    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), "x-live": True}


Live = Annotated[T, _Live()]
"""The field changes in place, without a restart: `Live[Rate]`."""


class Ref:
    """The value names an entry elsewhere in the spec: `Annotated[Text, Ref("queues")]`.

    Args:
        target: the path of the mapping that holds the entry (`queues`, `ai.chains`), or `handlers` and
        `subscribers`
            (functions of the plugins, and the built-in ones), `ai.models` (`provider/model` with a declared
            provider), `events.types` (the types of any stream).
    """

    def __init__(self, target: str) -> None:
        self.target = target

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), "x-ref": self.target}


class Templated:
    """Texts within free JSON values are templates: `Annotated[Values, Templated()]`."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), "x-kind": "template"}


class Shorthand:
    """A list may stand for a whole section and means its one field: `[a, b]` for `{models: [a, b]}`.

    Args:
        field: the field that the list is.
    """

    def __init__(self, field: str) -> None:
        self.field = field

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def expand(value: Any) -> Any:
            return {self.field: value} if isinstance(value, list | tuple) else value

        return core_schema.no_info_before_validator_function(expand, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), "x-shorthand": self.field}


class BuiltIn:
    """Entries of a mapping that exist without being declared; what a spec says of one is laid over its
    figures.

    Args:
        entries: the entries as they would be written in YAML.
    """

    def __init__(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        self.entries = entries

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), "x-built-in": self.entries}


# Lists and mappings

Items = tuple[T, ...]
"""An ordered list: `Items[Language]`."""

Values = dict[str, Any]
"""Free JSON values by name, as payloads have."""


class Entries:
    """The keys of a mapping are names that the user gives.

    Keys that begin with `x-` are no entries, and an entry without content (`payment.received:`) takes its
    defaults.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def named(value: Any) -> Any:
            if not isinstance(value, Mapping):
                return value
            return {key: {} if entry is None else entry for key, entry in value.items() if not _is_the_users(key)}

        return core_schema.no_info_before_validator_function(named, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), "x-entries": True}


Keyed = Annotated[dict[K, V], Entries()]
"""Entries by a key of a certain kind: `Keyed[ModelName, PriceSpec]`."""

Named = Keyed[Name, V]
"""Entries by name: `Named[QueueSpec]`."""

Dotted = Keyed[DottedName, V]
"""Entries by dotted name, as events have: `Dotted[EventTypeSpec]`."""


def _is_the_users(key: Any) -> bool:
    return isinstance(key, str) and key.startswith("x-")


# Sections that several others have


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
    cooldown: Duration = setting("30s", "How long an open breaker waits before it lets one call probe.", example="2m")
