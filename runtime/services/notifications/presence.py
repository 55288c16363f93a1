"""Who has an open connection now, over all instances; kept in Redis, where it runs out by itself."""

from __future__ import annotations

import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from runtime.errors import Fault
from runtime.services.names import PROCESS, time_ordered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from runtime.services.blocking import Client

logger = logging.getLogger("runtime.notifications")

LIFE: Final = 30.0
"""Seconds after which a connection that nobody renews counts as closed."""
RENEW: Final = 10.0
ONLINE: Final = """
local found = {}
for place, key in ipairs(KEYS) do
  if redis.call('ZCOUNT', key, ARGV[1], '+inf') > 0 then found[#found + 1] = place end
end
return found
"""
"""The places of the keys that hold a connection; one command for a page of an audience."""


class Presence:
    """Knows who has an open connection.

    Args:
        client: of the Redis that all instances share.
        prefix: of its keys.
    """

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._prefix = f"{prefix}online:"

    @asynccontextmanager
    async def here(self, user: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Counts a connection as open for the length of the block; the caller renews it every `RENEW` seconds."""
        key, member = f"{self._prefix}{user}", f"{PROCESS}:{time_ordered()}"

        async def renew() -> None:
            now = time.time()
            pipe: Any = self._client.pipeline(transaction=False)
            pipe.zremrangebyscore(key, "-inf", now).zadd(key, {member: now + LIFE}).pexpire(key, int(LIFE * 1000))
            await self._quietly(pipe.execute())

        await renew()
        try:
            yield renew
        finally:
            await self._quietly(self._client.zrem(key, member))

    async def online(self, users: Sequence[str]) -> set[str]:
        """Those of the users who have one; none of them where Redis cannot say: then more is sent, not less."""
        if not users:
            return set()
        keys = [f"{self._prefix}{user}" for user in users]
        found = await self._quietly(self._client.evaluate(ONLINE, keys, [time.time()]))
        return {users[place - 1] for place in found or ()}

    async def _quietly(self, command: Any) -> Any:
        try:
            return await command
        except (RedisError, Fault, OSError) as error:
            logger.warning("who is online is not known: %s", type(error).__name__)
            return None
