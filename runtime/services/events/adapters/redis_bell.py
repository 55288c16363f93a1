"""Tells when a stream in Redis grows: one waiting connection, however many wait for it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from runtime.services.away import AWAY, reason
from runtime.services.blocking import Client, blocking_client
from runtime.services.ending import end_tasks
from runtime.services.events.positions import parsed

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("runtime.events")

WAIT_MS: Final = 5_000
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0


class Bell:
    """Rings when a stream has grown. It reads only while somebody waits, and one event of those that came.

    Args:
        redis: the client to take address and password from.
        key: the stream's.
    """

    def __init__(self, redis: Client, key: str) -> None:
        self._redis = redis
        self._key = key
        self._position = "0-0"
        self._calls: list[Callable[[], None]] = []
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def notify(self, after: str, call: Callable[[], None]) -> None:
        """Calls once when the stream has grown beyond a position."""
        heard, wanted = parsed(self._position), parsed(after)
        if heard > wanted:
            call()
            return
        if wanted > heard:
            self._position = after
        self._calls.append(call)
        self._wanted.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen(), name=f"wait for {self._key}")

    @property
    def listeners(self) -> int:
        """How many wait."""
        return len(self._calls)

    async def close(self) -> None:
        """Ends the waiting read; whoever waits next begins another."""
        task, self._task = self._task, None
        if task is not None:
            await end_tasks([task])

    async def _listen(self) -> None:
        client = blocking_client(self._redis, WAIT_MS / 1000)
        pause = FIRST_PAUSE
        try:
            while True:
                await self._wanted.wait()
                after = self._position
                try:
                    answer = await client.xread({self._key: after}, block=WAIT_MS, count=1)
                    pause = FIRST_PAUSE
                except AWAY as error:
                    logger.debug("a stream cannot be followed, trying again: %s", reason(error))
                    await asyncio.sleep(pause)
                    pause = min(LONGEST_PAUSE, pause * 2)
                    continue
                if answer:
                    self._ring(answer[0][1][-1][0].decode())
        finally:
            await client.aclose()

    def _ring(self, position: str) -> None:
        if parsed(position) > parsed(self._position):
            self._position = position
        calls, self._calls = self._calls, []
        self._wanted.clear()
        for call in calls:
            call()
