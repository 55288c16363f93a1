"""Slow hashes, off the event loop and a few at a time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Hashing:
    """Runs hashes in threads, no more at once than there are cores: further ones would only slow the rest down."""

    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(max(1, os.cpu_count() or 1))

    async def run(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)
