"""The words of the validator: what was expected, what was found, and what to write."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runtime.spec.diagnostics import printable, quoted
from runtime.spec.scalars import scalar
from runtime.spec.shapes import REFERENCE, Schema

if TYPE_CHECKING:
    from collections.abc import Sequence

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
_KINDS = {
    "duration": ("a duration", '"30s"', "a number with ms, s, m, h or d"),
    "size": ("a size", '"16MB"', "a number with kB, MB, GB, KiB, MiB or GiB"),
    "rate": ("a rate", '"100/m"', "a number in a s, m, h or d"),
    "money": ("an amount of US dollars", '"5.00 USD"', "a number and USD"),
    "path": ("a path", '"templates/welcome"', "the name of a file or folder"),
    "secret": ("a secret", '"${API_KEY}"', "a reference"),
    "cron": ("a cron expression", '"17 3 * * *"', "minute, hour, day of month, month and day of week"),
    "timezone": ("a time zone", '"Europe/Vienna"', "its name in the IANA database"),
    "email": ("an e-mail address", '"ops@example.com"', "an address, or a name and an address in <>"),
    "url": ("a web address", '"https://example.com"', "an http or https address"),
}
_FORMS = {
    "Name": "a name",
    "DottedName": "a dotted name",
    "ModuleName": "a Python module",
    "ModelName": "a model",
    "Language": "a language",
    "ClockTime": "a time of day",
}
_UNITS = {"duration": "s", "size": "MB", "rate": "/m"}
_SPELLED = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµ]+)\s*")
_DURATIONS = (
    ("ms", ("ms", "msec", "msecs", "millis", "millisecond", "milliseconds")),
    ("s", ("s", "sec", "secs", "second", "seconds")),
    ("m", ("m", "min", "mins", "minute", "minutes")),
    ("h", ("h", "hr", "hrs", "hour", "hours")),
    ("d", ("d", "day", "days")),
)
_SIZES = {"k": "kB", "kb": "kB", "m": "MB", "mb": "MB", "g": "GB", "gb": "GB", "ki": "KiB", "kib": "KiB"} | {
    "mi": "MiB", "mib": "MiB", "gi": "GiB", "gib": "GiB", "b": "B", "bytes": "B",
}  # fmt: skip
_SWITCHES = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def found(value: Any) -> str:
    """What a value is, in words: `text "x"`, `the number 5`, `a list`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {printable(value)}"
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    return _TYPES["array"] if isinstance(value, list) else _TYPES["object"]


def alternatives(names: Sequence[Any], most: int = 12) -> str:
    """A list of names for a message: `a, b or c`."""
    shown = [printable(name) for name in names[:most]]
    if len(names) > most:
        return f"{', '.join(shown)} or {len(names) - most} more"
    return f"{', '.join(shown[:-1])} or {shown[-1]}" if len(shown) > 1 else "".join(shown)


def expected(leaf: Schema) -> str:
    """What a leaf wants: `a duration`, `a whole number`."""
    if "enum" in leaf:
        return f"one of {alternatives(leaf['enum'])}"
    kind = _KINDS.get(leaf.get("x-kind", ""))
    return kind[0] if kind else _FORMS.get(leaf.get("$name", "")) or _TYPES.get(leaf.get("type", ""), "a value")


def wrong_type(value: Any, leaves: Sequence[Schema], field: Schema) -> tuple[str, str | None]:
    """The message for a value of a type that no leaf has, and what to write instead."""
    wanted = [leaf for leaf in leaves if leaf.get("type") != "null" and leaf.get("$name") != REFERENCE]
    kinds = list(dict.fromkeys(expected(leaf) for leaf in wanted))
    if isinstance(value, int | float) and not isinstance(value, bool):
        for leaf in wanted:
            unit = _UNITS.get(leaf.get("x-kind", ""))
            if unit and value >= 0:
                better = f"{value}{unit}"
                return f'{expected(leaf)} needs its unit; write "{better}"', better
            if leaf.get("type") == "integer" and float(value).is_integer():
                return f"expected a whole number; write {int(value)}", str(int(value))
    secret = any(leaf.get("x-secret") for leaf in wanted)
    seen = "something else" if secret and value is not None else found(value)
    message = f"expected {' or '.join(kinds)}, found {seen}"
    converted = None if secret else _converted(value, wanted)
    if converted is not None:
        bare = isinstance(value, str) and converted == value.strip()
        return f"{message}; write {converted}{' without quotes' if bare else ''}", converted
    hint = _example(wanted, field)
    return f"{message}; write {hint}" if hint else message, None


def _converted(value: Any, leaves: Sequence[Schema]) -> str | None:
    """How the value should have been written, where that is plain."""
    types = {leaf.get("type") for leaf in leaves}
    if isinstance(value, str):
        if "boolean" in types:
            word = value.strip().lower()
            return _SWITCHES.get(word) or (word if word in ("true", "false") else None)
        if types & {"integer", "number"}:
            try:
                number = scalar(value.strip())
            except ValueError:
                return None
            if isinstance(number, int if "number" not in types else int | float) and not isinstance(number, bool):
                return str(number)
        if "array" in types and len(value) < 60 and "${" not in value:
            return f"[{printable(value)}]"
    if "string" in types and isinstance(value, int | float | bool) and any(_is_plain_text(leaf) for leaf in leaves):
        return quoted(str(value).lower() if isinstance(value, bool) else value)
    return None


def _is_plain_text(leaf: Schema) -> bool:
    return leaf.get("type") == "string" and "pattern" not in leaf and "enum" not in leaf


def _example(leaves: Sequence[Schema], field: Schema) -> str | None:
    for leaf in leaves:
        if leaf.get("x-kind", "") in _KINDS:
            return _KINDS[leaf["x-kind"]][1]
    examples = field.get("examples") or [example for leaf in leaves for example in leaf.get("examples", ())]
    return f"for example {shown(examples[0])}" if examples else None


def shown(value: Any) -> str:
    """A value as YAML on one line, short enough for a message."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(below)}" for key, below in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(shown(below) for below in value) + "]"
    if isinstance(value, bool) or value is None:
        return str(value).lower() if value is not None else "null"
    return quoted(value) if isinstance(value, str) else str(value)


def wrong_form(value: str, leaf: Schema, field: Schema) -> tuple[str, str | None]:
    """The message for a text that does not match its leaf's pattern, and what to write instead."""
    kind = leaf.get("x-kind", "")
    seen = "this" if leaf.get("x-secret") else quoted(value)
    if kind in _KINDS:
        name, example, form = _KINDS[kind]
        better = _respelled(value, kind)
        if better and re.search(leaf["pattern"], better):
            return f'{seen} is no {name.partition(" ")[2]}; write "{better}"', better
        return f"{seen} is no {name.partition(' ')[2]}; write {form}, such as {example}", None
    wanted = leaf.get("description", "").rstrip(".")
    if wanted[1:2].islower():
        wanted = wanted[:1].lower() + wanted[1:]
    examples = leaf.get("examples") or field.get("examples")
    such = f", such as {shown(examples[0])}" if examples else ""
    return f"expected {wanted or 'another form'}{such}, found {seen}", None


def _respelled(value: str, kind: str) -> str | None:
    match = _SPELLED.fullmatch(value)
    if kind not in _UNITS:
        return None
    if match is None:
        plain = value.strip()
        return (
            f"{plain}{_UNITS[kind]}" if plain.isascii() and plain.isdigit() and len(plain) < 7 and int(plain) else None
        )
    number, unit = match[1], match[2].lower()
    if kind == "duration":
        short = next((short for short, names in _DURATIONS if unit in names), None)
        if unit in ("w", "week", "weeks") and number.isdigit():
            return f"{int(number[:6]) * 7}d"
        return f"{number}{short}" if short and f"{number}{short}" != value else None
    if kind == "size":
        size = _SIZES.get(unit)
        return f"{number}{size}" if size and f"{number}{size}" != value else None
    return None
