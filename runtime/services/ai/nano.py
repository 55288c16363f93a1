"""Money as whole nano-dollars: a billionth of a US dollar, exact, and cheap to reckon with.

One token of the cheapest model costs some ten of them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

DOLLAR: Final = 10**9


def of(dollars: Decimal) -> int:
    """Nano-dollars of an amount; what is less than one is dropped.

    Example:
        >>> of(Decimal("0.50"))
        500000000
    """
    return int(dollars * DOLLAR)


def dollars(nano: int) -> Decimal:
    """The amount, exactly.

    Example:
        >>> dollars(12_500)
        Decimal('0.0000125')
    """
    return Decimal(nano) / DOLLAR


def show(nano: int) -> str:
    """The amount for people and programs, with two decimals at least.

    Example:
        >>> show(12_500), show(2 * DOLLAR)
        ('0.0000125', '2.00')
    """
    whole, _, places = f"{Decimal(nano).scaleb(-9):.9f}".partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"
