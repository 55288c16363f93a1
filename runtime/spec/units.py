"""Quantities as the spec writes them: `30s`, `16MB`, `100/m`, `5.00 USD`.

The patterns are what the JSON Schema publishes and what the parsers accept, so that the two never differ.
Only the standard library is imported: validation and a user's own tasks parse durations too.

Example:
    >>> duration("1m30s"), size("16MiB"), rate("30/m"), money("5.00 USD")
    (90.0, 16777216, Rate(count=30, seconds=60.0), Money(amount=Decimal('5.00'), currency='USD'))
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

DURATION_OR_ZERO = r"^([0-9]{1,6}(\.[0-9]{1,3})?(ms|s|m|h|d)){1,5}$"
DURATION = r"^(?=.*[1-9])" + DURATION_OR_ZERO[1:]
SIZE = r"^(?=.*[1-9])([0-9]{1,9}B|[0-9]{1,9}(\.[0-9]{1,3})?([kK]B|[MGT]B|[KMGT]iB))$"
RATE = r"^[1-9][0-9]{0,8}/(s|m|h|d)$"
MONEY = r"^[0-9]{1,12}(\.[0-9]{1,9})? [A-Z]{3}$"

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1} | {
    f"{prefix}{unit}": base ** (power + 1)
    for unit, base, prefixes in (("B", 1000, "kMGT"), ("iB", 1024, "KMGT"))
    for power, prefix in enumerate(prefixes)
}
_BYTES["KB"] = _BYTES["kB"]


class Rate(NamedTuple):
    """So many in so many seconds: `30/m` is `Rate(30, 60.0)`."""

    count: int  # type: ignore[assignment]  # it hides tuple.count, which nobody calls on a rate
    seconds: float


class Money(NamedTuple):
    """An exact amount and its ISO 4217 currency."""

    amount: Decimal
    currency: str


def duration(text: str, *, zero: bool = False) -> float:
    """Seconds of `500ms`, `30s`, `15m`, `24h`, `365d` or a sum such as `1h30m`.

    Args:
        text: the duration, always with its unit.
        zero: whether `0s` is allowed.

    Raises:
        ValueError: it is not a duration; the message says how to write one.
    """
    if not _fits(text, DURATION_OR_ZERO if zero else DURATION):
        raise ValueError('not a duration: write a number and its unit (ms, s, m, h, d), such as "30s"')
    parts = re.findall(r"([0-9.]+)(ms|s|m|h|d)", text)
    return float(sum(Decimal(number) * Decimal(str(_SECONDS[unit])) for number, unit in parts))


def size(text: str) -> int:
    """Bytes of `256kB`, `16MB` (powers of 1000) or `16MiB` (powers of 1024); a fraction of a byte is dropped.

    Raises:
        ValueError: it is not a size; the message says how to write one.
    """
    if not _fits(text, SIZE):
        raise ValueError('not a size: write a number and its unit (kB, MB, GB, KiB, MiB, GiB), such as "16MB"')
    number, unit = re.findall(r"([0-9.]+)([A-Za-z]+)", text)[0]
    return int(Decimal(number) * _BYTES[unit])


def rate(text: str) -> Rate:
    """The rate of `10/s`, `100/m`, `5/h` or `1/d`.

    Raises:
        ValueError: it is not a rate; the message says how to write one.
    """
    if not _fits(text, RATE):
        raise ValueError('not a rate: write a count and its unit of time (s, m, h, d), such as "100/m"')
    count, unit = text.strip().split("/")
    return Rate(int(count), _SECONDS[unit])


def money(text: str) -> Money:
    """The amount of `5.00 USD`.

    Raises:
        ValueError: it is not an amount; the message says how to write one.
    """
    if not _fits(text, MONEY):
        raise ValueError('not an amount of money: write it with its currency, such as "5.00 USD"')
    amount, currency = text.split()
    return Money(Decimal(amount), currency)


def _fits(text: object, pattern: str) -> bool:
    return isinstance(text, str) and re.search(pattern, text) is not None
