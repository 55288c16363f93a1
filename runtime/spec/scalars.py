"""What plain text means in YAML 1.2: `no`, `010` and `12:30` are text, `0o17` and `0x1F` are numbers."""

from __future__ import annotations

import math
import re

Scalar = str | int | float | bool | None

_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_FIRST = frozenset("-+.0123456789")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_UNREAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LONGEST = 100


def scalar(text: str) -> Scalar:
    """The value of an unquoted text.

    Raises:
        ValueError: it is a number that JSON cannot carry; the message says so.

    Example:
        >>> scalar("no"), scalar("010"), scalar("12:30"), scalar("8080"), scalar("~")
        ('no', '010', '12:30', 8080, None)
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _FIRST:
        return text
    if _INTEGER.fullmatch(text):
        return int(_bounded(text))
    if _FLOAT.fullmatch(text):
        number = float(_bounded(text))
        if math.isinf(number):
            raise ValueError("the number is too large; put it in quotes if it is text")
        return number
    if _BASED.fullmatch(text):
        return int(_bounded(text)[2:], 8 if text[1] == "o" else 16)
    if _UNREAL.fullmatch(text):
        raise ValueError(f"{text} is not a number that JSON can carry; put it in quotes if it is text")
    return text


def _bounded(text: str) -> str:
    if len(text) > _LONGEST:
        raise ValueError(f"a number of {len(text)} digits is too long; put it in quotes if it is text")
    return text
