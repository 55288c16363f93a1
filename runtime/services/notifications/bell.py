"""Tells the open connections of all instances that inboxes have grown.

A ring may be lost: whoever waits looks by itself now and then, and what counts is in the database.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from runtime.errors import Fault
from runtime.services.ending import end_tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from runtime.services.blocking import Client

logger = logging.getLogger("runtime.notifications")

MOST_NAMES: Final = 500
PAUSE: Final = 1.0


class Bell:
    """Rings for users.

    Args:
        client: of the Redis that all instances share.
        prefix: of its channel.
    """

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._channel = f"{prefix}inbox"
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None

    async def ring(self, users: Sequence[str]) -> None:
        """Wakes whoever waits for these users, here and elsewhere."""
        self._wake(users)
        try:
            for first in range(0, len(users), MOST_NAMES):
                await self._client.publish(self._channel, json.dumps(users[first : first + MOST_NAMES]))
        except (RedisError, Fault, OSError) as error:
            logger.warning("open connections were not told of new notifications: %s", type(error).__name__)

    @asynccontextmanager
    async def waiting(self, user: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set when the user's inbox may have grown."""
        event = asyncio.Event()
        self._waiting.setdefault(user, set()).add(event)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen(), name="inbox bell")
        try:
            yield event
        finally:
            self._waiting[user].discard(event)
            if not self._waiting[user]:
                del self._waiting[user]

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            await end_tasks([task])

    def _wake(self, users: Sequence[str]) -> None:
        for user in users:
            for event in self._waiting.get(user, ()):
                event.set()

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except (RedisError, Fault, OSError) as error:
                logger.debug("the bell is not heard, trying again: %s", type(error).__name__)
            await asyncio.sleep(PAUSE)

    async def _hear(self) -> None:
        listener: Any = self._client.pubsub(ignore_subscribe_messages=True)
        async with listener:
            await listener.subscribe(self._channel)
            while True:
                message = await listener.get_message(timeout=30.0)
                if message is not None:
                    try:
                        users = json.loads(message["data"])
                    except ValueError:
                        continue
                    self._wake([user for user in users if isinstance(user, str)])
