"""How many tokens a text has, roughly, where no provider has counted them.

A tokenizer of each provider would have to be fetched, and would cost more than a call. So it is a rule of thumb: four
bytes a token, which is usual for English prose, for what is likely; two for what is reserved. What a provider counts
is what is settled, however far it is from this.
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
    """What is reserved for a request of so many bytes: about twice as many tokens as prose has.

    Example:
        >>> bound(1000)
        532
    """
    return size // 2 + images * PER_IMAGE + OVERHEAD
