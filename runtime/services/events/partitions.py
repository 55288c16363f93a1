"""Partitions: what keeps the events of one key with one worker, however many workers a subscription has."""

from __future__ import annotations

from typing import Final
from zlib import crc32

PARTITIONS: Final = 64
"""So many workers at most can share the keyed events of one subscription; stored with each event, so never changed."""


def partition_of(key: str) -> int:
    """The partition of a key; the same on every machine and at all times.

    Example:
        >>> partition_of("ada")
        19
    """
    return crc32(key.encode()) % PARTITIONS
