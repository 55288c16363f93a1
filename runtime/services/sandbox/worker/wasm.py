"""A WebAssembly module's limit of memory, rewritten. Source: WebAssembly core specification, section 5.5.8."""

from __future__ import annotations

from typing import Final

PAGE: Final = 65_536
_MEMORY_SECTION: Final = 5
_HEADER: Final = 8


def with_most_memory(module: bytes, size: int) -> bytes:
    """A module whose memory grows to `size` bytes at most, rounded up to pages.

    Raises:
        ValueError: it does not declare one memory with a limit, or starts with more.
    """
    try:
        return _rewritten(module, size)
    except IndexError:
        raise ValueError("the module ends in the middle of its memory section") from None


def _rewritten(module: bytes, size: int) -> bytes:
    place = _HEADER
    while place < len(module):
        section, (length, begin) = module[place], _number(module, place + 1)
        if section == _MEMORY_SECTION:
            return module[:begin] + _limited(module[begin : begin + length], size) + module[begin + length :]
        place = begin + length
    raise ValueError("the module declares no memory")


def _limited(section: bytes, size: int) -> bytes:
    """The section with another limit, in exactly as many bytes as before."""
    count, flags = section[0], section[1]
    initial, place = _number(section, 2)
    _, end = _number(section, place)
    pages = -(-size // PAGE)
    if count != 1 or flags != 1 or end != len(section) or pages < initial:
        raise ValueError(f"a memory of {initial} pages cannot be limited to {pages}")
    width = end - place
    digits = [(pages >> (7 * digit)) & 0x7F | (0x80 if digit < width - 1 else 0) for digit in range(width)]
    return section[:place] + bytes(digits)


def _number(data: bytes, place: int) -> tuple[int, int]:
    """A LEB128 number, and the place after it."""
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return value, place
