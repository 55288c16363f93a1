"""Names that callers give, and the ids that we give."""

from __future__ import annotations

import difflib
import os
import re
import secrets
import time
from typing import TYPE_CHECKING, Final

from runtime.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

PROCESS: Final = f"{os.getpid()}-{secrets.token_hex(4)}"
"""Names this process among all that ever ran."""

_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = [first + second for first in _DIGITS for second in _DIGITS]
_CHANCE: Final = (_DIGITS * 8).encode()
"""For each value of a byte a digit, all equally often."""
_CHANCE_DIGITS: Final = 10
_CHANCE_BITS: Final = 5 * _CHANCE_DIGITS
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def time_ordered() -> str:
    """A new unique id; ids made later sort later, down to the microsecond.

    Example:
        >>> len(time_ordered())
        21
    """
    return time_ordered_all(1)[0]


def time_ordered_all(count: int) -> list[str]:
    """So many new unique ids; each sorts after the one before.

    Example:
        >>> ids = time_ordered_all(3)
        >>> ids == sorted(set(ids))
        True
    """
    begin = time.time_ns() // 1000
    chance = os.urandom(_CHANCE_DIGITS * count).translate(_CHANCE).decode()
    made, known, head = [], -1, ""
    for number in range(count):
        moment = begin + number
        if moment >> 20 != known:
            known = moment >> 20
            head = _DIGITS[known >> 30 & 31] + "".join([_PAIRS[known >> shift & 1023] for shift in (20, 10, 0)])
        tail = chance[_CHANCE_DIGITS * number : _CHANCE_DIGITS * (number + 1)]
        made.append(f"{head}{_PAIRS[moment >> 10 & 1023]}{_PAIRS[moment & 1023]}{tail}")
    return made


def earlier(id_: str, seconds_: float) -> str:
    """What sorts before every id of `time_ordered` that was made up to so many seconds before another.

    Example:
        >>> earlier("0f", 1.0)
        '000000000000000000000'
    """
    number = 0
    for letter in id_[:21]:
        number = number * 32 + max(0, _DIGITS.find(letter))
    number = max(0, number - (int(seconds_ * 1_000_000) << _CHANCE_BITS))
    return "".join(_DIGITS[number >> shift & 31] for shift in range(100, -1, -5))


def unknown(kind: str, name: str, known: Iterable[str], *, within: str = "") -> NotFound:
    """The refusal of a name that nothing has, with the nearest one that something has.

    Args:
        kind: what it should have named, in the singular: `queue`.
        name: what the caller wrote.
        known: the names that exist.
        within: where they exist: `in the stream "billing"`.

    Example:
        >>> unknown("queue", "emial", ["email", "sms"]).remedy
        'Did you mean "email"?'
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        remedy = f'Did you mean "{near[0]}"?'
    elif names:
        remedy = f"There {'is' if len(names) == 1 else 'are'}: {', '.join(names)}."
    else:
        remedy = f"The spec declares no {kind}."
    return NotFound(f'no {kind} "{name[:100]}" {within}'.rstrip(), remedy=remedy)


def seconds(duration: str) -> float | None:
    """The seconds of a duration as callers write it; None where it is none.

    Example:
        >>> seconds("1.5m")
        90.0
    """
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)", duration)
    return float(match[1]) * _UNITS[match[2]] if match else None
