"""How many tokens a text has, roughly, where no provider has counted them.

A tokenizer of each provider would have to be fetched, and would cost more than a call. So it is a rule of thumb: a
token is four characters of an alphabet, or four bytes of a script whose characters have three (Chinese, Japanese).
Against the tokenizers of OpenAI and Mistral it is off by about a fifth at most for text and code, and by far more for
base64 and rows of digits: `benchmarks/tokens.py`. What is reserved is more: half the bytes. What a provider counts is
what is settled, however far it is from this.
"""

from __future__ import annotations

from typing import Final

PER_IMAGE: Final = 1700
"""A picture at high detail, as the dearest of the providers counts it."""
OVERHEAD: Final = 32
"""What the form of a request adds."""


def quarters(text: str) -> int:
    """Four times the tokens of a text, as likely as not; for what a stream had sent when it was cut.

    Example:
        >>> quarters("The quick brown fox jumps over the lazy dog."), quarters("Быстрая лиса"), quarters("敏捷的狐狸")
        (44, 12, 15)
    """
    characters = len(text)
    if text.isascii():
        return characters
    size = len(text.encode())
    return characters if size <= 2 * characters else size


def bound(size: int, images: int = 0) -> int:
    """What is reserved for a request of so many bytes: about twice as many tokens as prose has.

    Example:
        >>> bound(1000)
        532
    """
    return size // 2 + images * PER_IMAGE + OVERHEAD
