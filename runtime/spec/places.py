"""Where each value was written: a tree of places that runs beside the tree of data.

The data stays plain (dicts, lists, scalars), so that everything that reads it is simple and fast. Positions are looked
up only for what is reported.
"""

from __future__ import annotations

import os.path
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime.spec.diagnostics import PASSWORD_IN_URL, Diagnostic, Severity, dotted

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDEST = 500
"""Longer lines are not shown."""

Path = tuple[str | int, ...]

_BREAKS = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_SECRET = re.compile(
    r"""(?ix) [\w-]* (?: password | passwd | passphrase | secret(?!s) | token(?!s) | api_?key(?!s) )
        [\w-]* ["']? \s* :
        \s* (?! [\[{&*|>\#] ) (?P<value> "(?:[^"\\]|\\.)*" | '[^']*' | [^\s,}\]]+ )"""
)


class Source:
    """One file: its name in messages, the folder that its relative paths start from, and its text."""

    __slots__ = ("_lines", "file", "folder", "name", "text")

    def __init__(self, name: str, file: str, text: str = "") -> None:
        self.name = name
        self.file = file
        self.folder = os.path.dirname(file)
        self.text = text
        self._lines: list[str] | None = None

    def line(self, number: int) -> str:
        """One line, counted from 1, without its end; empty beyond the last."""
        if self._lines is None:
            self._lines = _BREAKS.split(self.text)
        return self._lines[number - 1] if 0 < number <= len(self._lines) else ""


class Span(NamedTuple):
    """A stretch of one line: line and column from 1, length in characters."""

    line: int
    column: int
    length: int


class Place(NamedTuple):
    """Where one value stands.

    Args:
        source: the file.
        key: the event of the key in front of it; None in a list and at the root.
        value: the event of the value itself (its first, for a mapping or list).
        children: the places of what it holds, by key or index.
    """

    source: Source
    key: Any
    value: Any
    children: dict[str, Place] | list[Place] | None

    def child(self, part: str | int) -> Place | None:
        found: Place | None = None
        if isinstance(self.children, dict) and isinstance(part, str):
            found = self.children.get(part)
        elif isinstance(self.children, list) and isinstance(part, int) and 0 <= part < len(self.children):
            found = self.children[part]
        return found

    def at(self, path: Sequence[str | int]) -> Place:
        """The place of a path below, or of the nearest one above it that was written down."""
        place = self
        for part in path:
            below = place.child(part)
            if below is None:
                break
            place = below
        return place

    def key_span(self) -> Span:
        return span(self.value if self.key is None else self.key)

    def value_span(self) -> Span:
        """The value; of an empty one the key, since there is nothing else to point at."""
        if self.key is not None and self.value.start_mark.index == self.value.end_mark.index:
            return span(self.key)
        return span(self.value)

    def inner_span(self, text: str, offset: int, length: int) -> Span:
        """A part of a text value.

        The text may stand in quotes, in a block or over several lines, so that its characters are not simply those of
        the file. References begin with a dollar sign, which every style writes as it is, and so it does a name in a
        template: the n-th in the value is the n-th in the file.

        Args:
            text: the value.
            offset: where the part begins in the value.
            length: how many characters it has.
        """
        start, end = self.value.start_mark.index, self.value.end_mark.index
        raw = self.source.text[start:end]
        sign = "$" if text[offset : offset + 1] == "$" else text[offset : offset + length]
        position = -1
        if sign and raw.count(sign) == text.count(sign):
            for _ in range(text.count(sign, 0, offset) + 1):
                position = raw.find(sign, position + 1)
        if position < 0:
            return self.value_span()
        before = _BREAKS.split(raw[:position])
        line = self.value.start_mark.line + len(before)
        column = len(before[-1]) + 1
        if len(before) == 1:
            column += self.value.start_mark.column
        rest = len(self.source.line(line)) - column + 1
        return Span(line, column, max(1, min(length, rest)))


def span(event: Any) -> Span:
    """The stretch that an event of the YAML parser covers, cut at the end of its first line."""
    start, end = event.start_mark, event.end_mark
    return Span(start.line + 1, start.column + 1, max(1, end.column - start.column) if end.line == start.line else 1)


def diagnose(
    source: Source,
    where: Span,
    path: Sequence[str | int],
    message: str,
    *,
    suggestion: str | None = None,
    severity: Severity = "error",
    secrets: frozenset[str] = frozenset(),
) -> Diagnostic:
    """A diagnostic with the line that it is about, secrets masked.

    Args:
        secrets: literal secret values that the file holds.
    """
    line, column, length = where
    text = source.line(line)
    snippet = masked(text, secrets) if len(text) <= _WIDEST else ""
    return Diagnostic(source.name, line, column, length, dotted(path), message, suggestion, severity, snippet)


def masked(line: str, secrets: frozenset[str] = frozenset()) -> str:
    """A line with its secrets replaced by stars of the same width, so that a caret below it still fits.

    Besides the known secrets it hides whatever follows a key that sounds like one, since a misspelt key has no field to
    say that it is secret.
    """
    for secret in secrets:
        line = line.replace(secret, "*" * len(secret))
    line = PASSWORD_IN_URL.sub(lambda m: m[0] if "${" in m[2] else m[1] + "*" * len(m[2]) + m[3], line)
    return _SECRET.sub(_mask, line)


def _mask(match: re.Match[str]) -> str:
    value = match["value"]
    if "${" in value:
        return match[0]
    return match[0][: match.start("value") - match.start()] + "*" * len(value)
