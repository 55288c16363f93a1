"""A cache in this process's memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from runtime.storage.single_flight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ENTRIES = 10_000


class MemoryCache:
    """Keeps the most recently used entries.

    Args:
        entries: at most so many; the least recently used go first.
        clock: seconds that only grow.
    """

    def __init__(self, *, entries: int = ENTRIES, clock: Callable[[], float] = time.monotonic) -> None:
        self._entries = entries
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._flights = SingleFlight()

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, key: str) -> bytes | None:
        until, value = self._kept.get(key, (0.0, None))
        if value is None:
            return None
        if self._clock() >= until:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return value

    async def set(self, key: str, value: bytes, *, ttl: float) -> None:
        self._kept[key] = (self._clock() + checked(ttl), value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._entries:
            self._kept.popitem(last=False)

    async def add(self, key: str, value: bytes, *, ttl: float) -> bool:
        checked(ttl)
        if await self.get(key) is not None:
            return False
        await self.set(key, value, ttl=ttl)
        return True

    async def delete(self, key: str) -> None:
        self._kept.pop(key, None)

    async def get_or_compute(self, key: str, compute: Callable[[], Awaitable[bytes]], *, ttl: float) -> bytes:
        checked(ttl)

        async def work() -> bytes:
            value = await self.get(key)
            if value is None:
                value = await compute()
                await self.set(key, value, ttl=ttl)
            return value

        return await self._flights.run(key, work)


def checked(ttl: float) -> float:
    """A time to live that makes sense.

    Raises:
        ValueError: it is not more than zero.
    """
    if not ttl > 0:
        raise ValueError(f"a time to live is more than 0 seconds, not {ttl}")
    return ttl
