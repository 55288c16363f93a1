"""What is wrong with a spec, and where: the one shape in which every part of the language says so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Severity = Literal["error", "warning"]

PASSWORD_IN_URL = re.compile(r"(://[^/@\s:]*:)([^/@\s]+)(@)")

LIMIT = 1000
"""The most errors that one run reports: a hostile file must not make us print a million lines."""


class Diagnostic(NamedTuple):
    """One mistake at one place.

    Args:
        file: as the user wrote it, or relative to the current folder.
        line: counted from 1; 0 where the whole file is meant.
        column: counted from 1, in characters.
        length: how many characters of the line are meant, at least 1.
        path: the keys that lead there, `queues.email.retry`; empty for the whole file.
        message: a whole sentence, with what to write instead.
        suggestion: the bare replacement, for editors and other programs.
        severity: a warning does not stop anything.
        snippet: the line itself, with secrets masked.
        away: whether the file is right, and only what it names there does not answer.
    """

    file: str
    line: int
    column: int
    length: int
    path: str
    message: str
    suggestion: str | None = None
    severity: Severity = "error"
    snippet: str = ""
    away: bool = False

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"

    def as_json(self) -> dict[str, Any]:
        """The form of `--json`: file, line, column, path, message, suggestion."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "path": self.path,
            "message": self.message,
            "suggestion": self.suggestion,
        }

    def as_annotation(self) -> str:
        """The form that GitHub Actions shows beside the line: `::error file=…,line=…::message`."""
        place = f"file={_property(self.file)}"
        if self.line:
            place += f",line={self.line},col={self.column},endColumn={self.column + self.length}"
        text = f"{self.path}: {self.message}" if self.path else self.message
        return f"::{self.severity} {place},title=runtime validate::{_data(text)}"


def ordered(diagnostics: Iterable[Diagnostic], first: str = "") -> list[Diagnostic]:
    """Each diagnostic once, by file and position.

    Args:
        diagnostics: in any order.
        first: the root spec, whose diagnostics come before those of the files that it extends.
    """
    unique = dict.fromkeys(diagnostics)
    return sorted(unique, key=lambda d: (d.file != first, d.file, d.line, d.column, d.path, d.message))


def dotted(path: Iterable[str | int]) -> str:
    """A path as people write it.

    Example:
        >>> dotted(("ai", "chains", "default", 1))
        'ai.chains.default[1]'
        >>> dotted(("events", "credits.used"))
        'events."credits.used"'
    """
    return "".join(_segments(path))


def _segments(path: Iterable[str | int]) -> Iterator[str]:
    first = True
    for part in path:
        if isinstance(part, int):
            yield f"[{part}]"
        else:
            name = part if len(part) <= 60 and part.replace("_", "").replace("-", "").isalnum() else quoted(part)
            yield name if first else f".{name}"
        first = False


def quoted(value: object) -> str:
    """A value in double quotes for a message: one line, printable, shortened in the middle."""
    return f'"{printable(value)}"'


def printable(value: object, width: int = 60) -> str:
    """A value for a message: one line, nothing that moves a terminal's cursor, shortened in the middle."""
    text = PASSWORD_IN_URL.sub(r"\1***\3", str(value))
    if len(text) > width:
        text = f"{text[: width - 20]}…{text[-19:]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
