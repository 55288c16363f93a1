"""What commands print: diagnostics with a line and a caret, faults with a remedy, colour where there is a terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from runtime.spec.diagnostics import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtime.errors import Fault
    from runtime.spec.diagnostics import Diagnostic

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_TAB = 4


class Style:
    """Colours for one stream: none where it is no terminal, or where `NO_COLOR` asks for none.

    Args:
        stream: where the text goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self.coloured = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def __call__(self, text: str, *names: str) -> str:
        if not self.coloured or not names:
            return text
        return f"\033[{';'.join(_CODES[name] for name in names)}m{text}\033[0m"


def write_diagnostics(diagnostics: Iterable[Diagnostic], stream: TextIO) -> None:
    """Each diagnostic on a line of its own, followed by the line of the file that it is about and a caret."""
    style = Style(stream)
    stream.writelines(rendered(diagnostic, style) + "\n" for diagnostic in diagnostics)


def rendered(diagnostic: Diagnostic, style: Style) -> str:
    """One diagnostic.

    Example:
        specs/production.yaml:12:5: queues.email.concurency: unknown key, did you mean "concurrency"?
           12 |     concurency: 5
              |     ^^^^^^^^^^
    """
    where = printable(diagnostic.file, 400)
    if diagnostic.line:
        where += f":{diagnostic.line}:{diagnostic.column}"
    colour = "red" if diagnostic.severity == "error" else "yellow"
    kind = "" if diagnostic.severity == "error" else f"{style('warning', colour, 'bold')}: "
    path = f"{style(diagnostic.path, 'cyan')}: " if diagnostic.path else ""
    head = f"{style(where, 'bold')}: {kind}{path}{diagnostic.message}"
    if not diagnostic.snippet.strip():
        return head
    before = diagnostic.snippet[: diagnostic.column - 1]
    marked = diagnostic.snippet[diagnostic.column - 1 : diagnostic.column - 1 + diagnostic.length]
    number = f"{diagnostic.line:>5}"
    caret = " " * columns(before) + "^" * max(1, columns(marked, columns(before)))
    bar = style("|", "dim")
    line = f"{style(number, 'dim')} {bar} {expanded(diagnostic.snippet)}"
    return f"{head}\n{line}\n      {bar} {style(caret, colour)}"


def expanded(text: str) -> str:
    """A line as it can be printed: tabs as spaces, and nothing that moves a terminal's cursor."""
    result, column = "", 0
    for character in text:
        shown = " " * (_TAB - column % _TAB) if character == "\t" else character if _is_shown(character) else "·"
        result += shown
        column += sum(_width(one) for one in shown)
    return result


def columns(text: str, start: int = 0) -> int:
    """How many columns of a terminal a text takes; wide characters take two, combining ones none.

    Args:
        text: a part of one line.
        start: the column in which it begins, since a tab ends at the next multiple of four.
    """
    column = start
    for character in text:
        column += _TAB - column % _TAB if character == "\t" else _width(character)
    return column - start


def _width(character: str) -> int:
    if character.isascii():
        return 1
    import unicodedata

    if not _is_shown(character):
        return 1
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _is_shown(character: str) -> bool:
    return character.isprintable()


def write_fault(fault: Fault) -> None:
    """A fault and what to do about it; of a wrong spec, every error."""
    from runtime.errors import SpecFault

    stream = sys.stderr
    style = Style(stream)
    if isinstance(fault, SpecFault):
        write_diagnostics(fault.diagnostics, stream)
        stream.write(f"{style(counted(len(fault.diagnostics), 'error'), 'red', 'bold')}\n")
        return
    stream.write(f"{style('error', 'red', 'bold')}: {fault.message}\n")
    if fault.remedy:
        stream.write(f"  {fault.remedy}\n")


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 error`, `2 errors`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
