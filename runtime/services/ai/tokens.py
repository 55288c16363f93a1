"""How many tokens a text has, roughly, where no provider has counted them.

A tokenizer of each provider would have to be fetched, and would cost more than a call. English prose has some four
bytes a token, code and other languages three, so that a fourth of the bytes is likely and half of them a safe bound.
"""

from __future__ import annotations

from typing import Final

PER_IMAGE: Final = 1700
"""A picture at high detail, as the dearest of the providers counts it."""
OVERHEAD: Final = 32
"""What the form of a request adds."""


def of_text(text: str) -> int:
    """The tokens of a text, as likely as not; for what a stream had sent when it was cut.

    Example:
        >>> of_text("The quick brown fox jumps over the lazy dog.")
        11
    """
    return -(-len(text.encode()) // 4)


def bound(size: int, images: int = 0) -> int:
    """More tokens than a request of so many bytes will have, but for odd ones.

    Example:
        >>> bound(1000)
        532
    """
    return size // 2 + images * PER_IMAGE + OVERHEAD
