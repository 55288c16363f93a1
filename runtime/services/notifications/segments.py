"""How many messages a text takes on its way: the alphabet of GSM, or UCS-2 where that does not do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The default alphabet (3GPP TS 23.038, section 6.2.1)."""
EXTENDED: Final = frozenset("\f^{}\\[~]|€")
"""Its extension; each takes an escape before it, which stays in the same segment (section 6.2.1.1)."""

SEPTETS: Final = (160, 153)
"""What one message holds, and one of several, which begins with six bytes of header (3GPP TS 23.040, 9.2.3.24.1)."""
UNITS: Final = (70, 67)
"""The same in UCS-2."""


@dataclass(frozen=True, slots=True)
class Segments:
    """What a text takes.

    Args:
        encoding: of the whole text: one character that GSM does not have makes all of it UCS-2.
        units: septets, or units of 16 bits.
        count: messages that are sent, and paid for.
    """

    encoding: Literal["GSM-7", "UCS-2"]
    units: int
    count: int


def segments(text: str) -> Segments:
    """Counts the segments of a text.

    Example:
        >>> segments("It costs 5 €."), segments("Здравствуйте").encoding
        (Segments(encoding='GSM-7', units=14, count=1), 'UCS-2')
    """
    if all(each in BASIC or each in EXTENDED for each in text):
        sizes = [2 if each in EXTENDED else 1 for each in text]
        return Segments("GSM-7", sum(sizes), _count(sizes, *SEPTETS))
    sizes = [2 if ord(each) > 0xFFFF else 1 for each in text]
    return Segments("UCS-2", sum(sizes), _count(sizes, *UNITS))


def _count(sizes: list[int], alone: int, joined: int) -> int:
    """Messages that characters fill one after the other; none of them is cut in two."""
    if sum(sizes) <= alone:
        return 1
    count, room = 1, joined
    for size in sizes:
        if size > room:
            count, room = count + 1, joined
        room -= size
    return count
