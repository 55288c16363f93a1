"""What belongs to one consumer of a Redis stream's group: reading, claiming, acknowledging, burying."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ResponseError

from runtime.services.blocking import blocking_client
from runtime.services.events.backend import BATCH, DEAD_LENGTH, LONGEST_ERROR, LONGEST_WAIT, Entry
from runtime.services.events.positions import first_of
from runtime.services.names import PROCESS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis.commands.core import AsyncScript

    from runtime.services.blocking import Client

logger = logging.getLogger("runtime.events")

CLAIM: Final = 100

_FORGET: Final = """
-- KEYS log   ARGV group consumer: forgets a consumer, unless something is still pending for it
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
"""


class RedisPending:
    """One consumer's view of its group; implements `Pending`.

    Args:
        redis: answers in bytes; shared with others.
        log: the stream's key.
        dead: the key of the group's dead letters.
        group: the group's name.
        instance: see `RedisStreams`.
    """

    def __init__(self, redis: Client, log: str, dead: str, group: str, instance: str) -> None:
        self._redis = redis
        self._log = log
        self._dead = dead
        self._group = group
        self._instance = instance
        self._consumer = f"{instance}:{PROCESS}:{secrets.token_hex(4)}"
        self._waiting: Client | None = None
        self._forget: AsyncScript | None = None

    async def create(self, start: str) -> None:
        try:
            await self._redis.xgroup_create(self._log, self._group, id=first_of(start), mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def new(self, count: int, wait: float) -> list[Entry]:
        if self._waiting is None:
            self._waiting = blocking_client(self._redis, LONGEST_WAIT)
        taken = await self._waiting.xreadgroup(
            self._group, self._consumer, {self._log: ">"}, count=count, block=int(wait * 1000)
        )
        return _entries(taken)

    async def mine(self, after: str) -> list[Entry]:
        return _entries(await self._redis.xreadgroup(self._group, self._consumer, {self._log: after}, count=BATCH))

    async def abandoned(self, idle: float, count: int) -> list[Entry]:
        _, entries, gone = await self._redis.xautoclaim(
            self._log, self._group, self._consumer, min_idle_time=int(idle * 1000), count=count
        )
        for position in gone:
            logger.warning("%s: an event is no longer kept and was not handled: %s", self._group, position)
        return [(position.decode(), fields) for position, fields in entries]

    async def inherit(self) -> int:
        """Takes over what is pending for the processes that held this instance before, and forgets them."""
        if not self._instance:
            return 0
        taken, of, but = 0, f"{self._instance}:", f"{self._instance}:{PROCESS}:"
        for known in await self._redis.xinfo_consumers(self._log, self._group):
            name = known["name"].decode()
            if not name.startswith(of) or name.startswith(but):
                continue
            while pending := await self._redis.xpending_range(
                self._log, self._group, "-", "+", CLAIM, consumername=name
            ):
                positions = [entry["message_id"] for entry in pending]
                await self._redis.xclaim(self._log, self._group, self._consumer, 0, positions, justid=True)
                taken += len(positions)
            await self.forget(name)
        return taken

    async def forget(self, consumer: str = "") -> None:
        """Forgets a consumer for which nothing is pending; this one by default."""
        if self._forget is None:
            self._forget = self._redis.register_script(_FORGET)
        await self._forget(keys=[self._log], args=[self._group, consumer or self._consumer])

    async def tries(self, position: str) -> int:
        found = await self._redis.xpending_range(self._log, self._group, position, position, 1)
        return int(found[0]["times_delivered"]) if found else 1

    async def count(self, position: str, tries: int, *, idle: float = 0.0) -> None:
        await self._redis.xclaim(
            self._log,
            self._group,
            self._consumer,
            0,
            [position],
            idle=int(idle * 1000),
            retrycount=tries,
            justid=True,
        )

    async def renew(self, positions: Iterable[str]) -> None:
        wanted: list[Any] = list(positions)
        for begin in range(0, len(wanted), CLAIM):
            some = wanted[begin : begin + CLAIM]
            await self._redis.xclaim(self._log, self._group, self._consumer, 0, some, idle=0, justid=True)

    async def acknowledge(self, position: str) -> None:
        await self._redis.xack(self._log, self._group, position)

    async def bury(self, entry: Entry, error: str, tries: int, *, keep: bool) -> None:
        position, fields = entry
        async with self._redis.pipeline(transaction=True) as pipe:
            if keep:
                letter: dict[Any, Any] = {
                    **(fields or {}),
                    "position": position,
                    "error": error[:LONGEST_ERROR],
                    "tries": tries,
                }
                pipe.xadd(self._dead, letter, maxlen=DEAD_LENGTH, approximate=True)
            pipe.xack(self._log, self._group, position)
            await pipe.execute()

    async def lag(self) -> int | None:
        for known in await self._redis.xinfo_groups(self._log):
            if known["name"] == self._group.encode():
                lag = known.get("lag")
                return int(lag) if lag is not None else None
        return None

    def gone(self, error: BaseException) -> bool:
        return isinstance(error, ResponseError) and "NOGROUP" in str(error)

    async def close(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            await waiting.aclose()
            await waiting.connection_pool.disconnect()


def _entries(answer: Any) -> list[Entry]:
    return [(position.decode(), fields) for position, fields in answer[0][1]] if answer else []
