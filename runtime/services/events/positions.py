"""Positions in a stream, `1732320000000-0`: the millisecond in which an event was stored, and its number in it."""

from __future__ import annotations

from datetime import datetime


def parsed(position: str) -> tuple[int, int]:
    """A position as numbers, which sort as the stream does.

    Example:
        >>> parsed("1732320000000-3"), parsed("17")
        ((1732320000000, 3), (17, 0))
    """
    moment, _, number = position.partition("-")
    return int(moment), int(number or 0)


def first_of(start: str) -> str:
    """The position after which a subscription begins, for its `from`; of a time, its own moment counts.

    Example:
        >>> first_of("new"), first_of("beginning"), first_of("1970-01-01T00:00:02Z")
        ('$', '0', '1999-18446744073709551615')
    """
    named = {"new": "$", "beginning": "0"}.get(start)
    if named is not None:
        return named
    if "T" in start:
        moment = int(datetime.fromisoformat(start).timestamp() * 1000)
        return f"{moment - 1}-{2**64 - 1}" if moment > 0 else "0"
    return start


def written(place: tuple[int, int]) -> str:
    """The inverse of `parsed`.

    Example:
        >>> written((17, 0))
        '17-0'
    """
    return f"{place[0]}-{place[1]}"
