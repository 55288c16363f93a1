"""Amounts of credits: exact decimals with at most nine places, never a float."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from runtime.errors import Invalid, Pointer

PLACES: Final = 9
LARGEST: Final = Decimal(10) ** 12
"""What no amount and no balance reaches."""

_SHAPE: Final = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?")


def parse(text: str, at: str = "/amount") -> Decimal:
    """The amount of a text.

    Args:
        at: where it stands in a request.

    Raises:
        Invalid: this is none.

    Example:
        >>> parse("12.50")
        Decimal('12.50')
    """
    if not _SHAPE.fullmatch(text):
        raise Invalid(
            f"{text[:40]!r} is no amount",
            errors=[Pointer(at, "a decimal with at most 12 digits before the point and 9 after it")],
            remedy='Write it as a text, "12.50".',
        )
    return Decimal(text)


def exact(amount: Decimal) -> Decimal:
    """The amount, if the ledger can hold it.

    Raises:
        Invalid: it has more than nine decimals, or is too large.
    """
    fits = amount.is_finite() and abs(amount) < LARGEST
    if not fits or amount != round(amount, PLACES):
        raise Invalid(f"the ledger cannot hold {amount}", remedy="Give at most 12 digits and 9 decimals.")
    return amount


def positive(amount: Decimal) -> Decimal:
    """The amount, if it is exact and above zero.

    Raises:
        Invalid: it is not.
    """
    if exact(amount) <= 0:
        raise Invalid(f"an amount above zero is needed, not {show(amount)}")
    return amount


def show(amount: Decimal) -> str:
    """An amount for people and programs, with two decimals at least.

    Example:
        >>> show(Decimal("12.500000000")), show(Decimal("0.00125")), show(Decimal("-3"))
        ('12.50', '0.00125', '-3.00')
    """
    whole, _, places = f"{amount:f}".partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"
