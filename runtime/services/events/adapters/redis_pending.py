"""What belongs to one consumer of a Redis stream's group: reading, claiming, acknowledging, burying."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis.commands.core import AsyncScript

    from runtime.services.blocking import Client

logger = logging.getLogger("runtime.events")

BATCH: Final = 30
CLAIM: Final = 100
DEAD_LENGTH: Final = 10_000
LONGEST_ERROR: Final = 2_000

_FORGET: Final = """
-- KEYS log   ARGV group consumer: forgets a consumer, unless something is still pending for it
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
"""

Entry = tuple[str, dict[bytes, bytes] | None]
"""A position, and the fields there; None where they have been trimmed away."""


class Pending:
    """One consumer's view of its group.

    Args:
        redis: answers in bytes; shared with others.
        log: the stream's key.
        dead: the key of the group's dead letters.
        group: the group's name.
        consumer: the consumer's.
    """

    def __init__(self, redis: Client, log: str, dead: str, group: str, consumer: str) -> None:
        self._redis = redis
        self._log = log
        self._dead = dead
        self._group = group
        self._consumer = consumer
        self._forget: AsyncScript | None = None

    async def create(self, start: str) -> None:
        """Makes the group where it does not exist.

        Args:
            start: as a subscription's `from` says it.
        """
        try:
            await self._redis.xgroup_create(self._log, self._group, id=_first(start), mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def new(self, client: Client, count: int, wait_ms: int) -> list[Entry]:
        """Takes events that nobody has been given; waits for the first."""
        return _entries(
            await client.xreadgroup(self._group, self._consumer, {self._log: ">"}, count=count, block=wait_ms)
        )

    async def mine(self, after: str) -> list[Entry]:
        """What is pending for this consumer after a position; each counts as given once more."""
        return _entries(await self._redis.xreadgroup(self._group, self._consumer, {self._log: after}, count=BATCH))

    async def abandoned(self, idle: float, count: int) -> list[Entry]:
        """Takes what has been pending for other consumers without a sign of life for so many seconds."""
        _, entries, gone = await self._redis.xautoclaim(
            self._log, self._group, self._consumer, min_idle_time=int(idle * 1000), count=count
        )
        for position in gone:
            logger.warning("%s: an event is no longer kept and was not handled: %s", self._group, position)
        return [(position.decode(), fields) for position, fields in entries]

    async def inherit(self, of: str, but: str) -> int:
        """Takes over all that is pending for consumers that are gone for certain, and forgets them.

        Args:
            of: how the names of those consumers begin.
            but: how the names of those among them begin that live.
        """
        taken = 0
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
        """How often an event has been given to a worker, this time included."""
        found = await self._redis.xpending_range(self._log, self._group, position, position, 1)
        return int(found[0]["times_delivered"]) if found else 1

    async def count(self, position: str, tries: int, *, idle: float = 0.0) -> None:
        """Keeps the number of an event's tries, and how many seconds ago it last showed a sign of life."""
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
        """A sign of life for events in hand."""
        wanted: list[Any] = list(positions)
        for begin in range(0, len(wanted), CLAIM):
            some = wanted[begin : begin + CLAIM]
            await self._redis.xclaim(self._log, self._group, self._consumer, 0, some, idle=0, justid=True)

    async def acknowledge(self, position: str) -> None:
        await self._redis.xack(self._log, self._group, position)

    async def bury(self, entry: Entry, error: str, tries: int, *, keep: bool) -> None:
        """Ends an event that could not be handled, and keeps it with the error among the dead letters."""
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
        """Events that the group has not been given; None where the server cannot tell."""
        for known in await self._redis.xinfo_groups(self._log):
            if known["name"] == self._group.encode():
                lag = known.get("lag")
                return int(lag) if lag is not None else None
        return None


def _entries(answer: Any) -> list[Entry]:
    return [(position.decode(), fields) for position, fields in answer[0][1]] if answer else []


def _first(start: str) -> str:
    """The position after which a group begins, for a subscription's `from`; of a time, its own moment counts."""
    named = {"new": "$", "beginning": "0"}.get(start)
    if named is not None:
        return named
    if "T" in start:
        moment = int(datetime.fromisoformat(start).timestamp() * 1000)
        return f"{moment - 1}-{2**64 - 1}" if moment > 0 else "0"
    return start
