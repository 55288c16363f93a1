"""Plain data as YAML that this language reads back as the same data, with a comment beside each value."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from runtime.spec.places import Path
from runtime.spec.scalars import scalar

Comment = Callable[[Path], str]

_PLAIN = re.compile(r"[A-Za-z0-9_/.][\w/.+@%-]*(?: [\w/.+@%-]+)*", re.ASCII)
_NOT_TEXT_ELSEWHERE = frozenset(["yes", "no", "on", "off", "y", "n", "true", "false", "null"])
_FLOW_WIDTH = 72


def emit(data: dict[str, Any], comment: Comment | None = None) -> str:
    """Data as block-style YAML; short lists of scalars stand on one line.

    Args:
        data: plain data.
        comment: what stands behind the value at a path, without the `#`; empty for nothing.

    Example:
        >>> emit({"a": {"b": [1, "no"]}})
        'a:\\n  b: [1, "no"]\\n'
    """
    if not data:
        return "{}\n"
    lines: list[tuple[str, str]] = []
    _mapping(data, (), "", lines, comment or (lambda _: ""))
    width = min(64, max((len(line) for line, note in lines if note), default=0))
    return "".join(f"{line:<{width}}  # {note}\n" if note else f"{line}\n" for line, note in lines)


def _mapping(data: dict[str, Any], path: Path, indent: str, lines: list[tuple[str, str]], comment: Comment) -> None:
    for key, value in data.items():
        _entry(f"{indent}{text(key)}:", value, (*path, key), indent, lines, comment)


def _entry(head: str, value: Any, path: Path, indent: str, lines: list[tuple[str, str]], comment: Comment) -> None:
    flow = _flow(value)
    if flow is not None:
        lines.append((f"{head} {flow}", comment(path)))
        return
    lines.append((head, "" if isinstance(value, dict) else comment(path)))
    if isinstance(value, dict):
        _mapping(value, path, f"{indent}  ", lines, comment)
        return
    for index, item in enumerate(value):
        _entry(f"{indent}  -", item, (*path, index), f"{indent}  ", lines, lambda _: "")


def _flow(value: Any) -> str | None:
    """The value on one line; None where it needs several."""
    if isinstance(value, dict):
        return None if value else "{}"
    if not isinstance(value, list):
        return atom(value)
    if any(isinstance(item, dict | list) and item for item in value):
        return None
    line = f"[{', '.join(atom(item) for item in value)}]"
    return line if len(line) <= _FLOW_WIDTH else None


def atom(value: Any) -> str:
    """A scalar or an empty container as YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return text(value) if isinstance(value, str) else "{}" if isinstance(value, dict) else "[]"


def text(value: str) -> str:
    """A text as YAML: bare where no reader could take it for something else, otherwise in double quotes."""
    if _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT_ELSEWHERE and scalar(value) == value:
        return value
    return '"' + "".join(_escape(character) for character in value) + '"'


def _escape(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return {10: "\\n", 9: "\\t"}.get(code) or (
        f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    )
