"""Limits as callers write them: `"8MB"`, `"200ms"`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from runtime.errors import Invalid, Pointer
from runtime.spec import units

if TYPE_CHECKING:
    from collections.abc import Callable

Number = TypeVar("Number", int, float)


def size(text: str | None) -> int | None:
    """Bytes; None where nothing is asked for.

    Raises:
        Invalid: it is no size.

    Example:
        >>> size("8MB")
        8000000
    """
    return _read(text, "memory", units.size)


def duration(text: str | None) -> float | None:
    """Seconds; None where nothing is asked for.

    Raises:
        Invalid: it is no duration.
    """
    return _read(text, "timeout", units.duration)


def _read(text: str | None, name: str, read: Callable[[str], Number]) -> Number | None:
    if text is None:
        return None
    try:
        return read(text)
    except ValueError as error:
        raise Invalid(f"{name} is {error}", errors=[Pointer(f"/{name}", str(error))]) from error
