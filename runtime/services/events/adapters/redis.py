"""Streams in Redis.

The keys of a stream, all with one hash tag, so that a cluster keeps them together:

    log          stream  the events, one field `event` each
    seen:<id>    string  the position of an event, for a day; a minute where the id is ours
    dead:<s>     stream  events that a subscription could not handle, with the error

Reads that wait have connections of their own: one for each subscription, and one for all who follow a stream.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from runtime.services.away import AWAY, answering, reason
from runtime.services.blocking import Client, blocking_client
from runtime.services.ending import end_tasks
from runtime.services.events.backend import Consumer, Draft, Figures, Handle, Retention, Terms
from runtime.services.events.envelope import event_of, pack, unpack
from runtime.services.events.ports import DeadEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from redis.commands.core import AsyncScript

    from runtime.services.events.ports import Event

logger = logging.getLogger("runtime.events")

DAY: Final = 86_400
MOMENT: Final = 60
"""Seconds for which an id of ours is remembered: as long as a client may send a command again."""
WAIT_MS: Final = 5_000
PAGE: Final = 200
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0

_APPEND: Final = """
-- KEYS log seen...   ARGV max_length oldest_ms (event remembered_s)...
local stored = {}
for place = 2, #KEYS do
  local known = redis.call('GET', KEYS[place])
  if known then
    stored[place - 1] = {known, 0}
  else
    local position = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'event', ARGV[2 * place - 1])
    redis.call('SET', KEYS[place], position, 'EX', ARGV[2 * place])
    stored[place - 1] = {position, 1}
  end
end
redis.call('XTRIM', KEYS[1], 'MINID', '~', ARGV[2])
return stored
"""

_REPLAY: Final = """
-- KEYS log dead   ARGV group letter...: what is claimed for nobody long ago is taken over by the next worker that looks
local again = {}
for place = 2, #ARGV do
  local letter = redis.call('XRANGE', KEYS[2], ARGV[place], ARGV[place])[1]
  if letter then
    local position
    for field = 1, #letter[2], 2 do
      if letter[2][field] == 'position' then position = letter[2][field + 1] end
    end
    if #redis.call('XRANGE', KEYS[1], position, position) > 0 then
      redis.call('XCLAIM', KEYS[1], ARGV[1], 'replay', 0, position,
                 'IDLE', 1000000000, 'RETRYCOUNT', 0, 'FORCE', 'JUSTID')
      redis.call('XDEL', KEYS[2], ARGV[place])
      again[#again + 1] = ARGV[place]
    end
  end
end
return again
"""


class RedisStreams:
    """All streams of an environment in one Redis server; implements `Backend`.

    Args:
        redis: answers in bytes; shared with others.
        prefix: of every key of the environment, `rt:core-services:`.
        source: who publishes, as CloudEvents calls it.
        instance: names whoever holds the lock of one state folder, the same at each start: what its killed process
            has left unhandled comes again as soon as the next one starts.
    """

    def __init__(self, redis: Client, prefix: str, *, source: str = "runtime", instance: str = "") -> None:
        self.redis = redis
        self._prefix = prefix
        self._source = source
        self._instance = instance
        self._append: AsyncScript | None = None
        self._replay: AsyncScript | None = None
        self._bells: dict[str, Bell] = {}

    def key(self, stream: str, part: str) -> str:
        """The name of one of a stream's keys."""
        return f"{self._prefix}{{events.{stream}}}:{part}"

    async def append(self, stream: str, drafts: Sequence[Draft], retention: Retention) -> list[Event]:
        log = self.key(stream, "log")
        oldest = max(0, int((drafts[0].event.time.timestamp() - retention.max_age) * 1000))
        args: list[Any] = [retention.max_length, oldest]
        for event, once in drafts:
            args += [pack(event, self._source), DAY if once else MOMENT]
        if self._append is None:
            self._append = self.redis.register_script(_APPEND)
        with answering(self.redis):
            answers = await self._append(
                keys=[log, *(self.key(stream, f"seen:{event.id}") for event, _ in drafts)], args=args
            )
            stored = []
            for (event, _), (position, new) in zip(drafts, answers, strict=True):
                made = replace(event, position=position.decode())
                first = [] if new else await self.redis.xrange(log, made.position, made.position)
                stored += self.parse(stream, first) or [made]
        return stored

    async def read(self, stream: str, after: str, limit: int) -> list[Event]:
        with answering(self.redis):
            entries = await self.redis.xrange(self.key(stream, "log"), f"({after}", "+", count=limit)
        return self.parse(stream, entries)

    async def figures(self, stream: str) -> Figures:
        key = self.key(stream, "log")
        with answering(self.redis):
            async with self.redis.pipeline(transaction=True) as pipe:
                pipe.xlen(key)
                pipe.xrange(key, count=1)
                pipe.xrevrange(key, count=1)
                length, first, last = await pipe.execute()
        return Figures(length, first[0][0].decode() if first else None, last[0][0].decode() if last else "0-0")

    async def follow(self, stream: str, after: str) -> AsyncIterator[Event]:
        bell = self._bells.setdefault(stream, Bell(self.redis, self.key(stream, "log")))
        async with bell:
            if after == "$":
                after = bell.position
            while True:
                heard = bell.position
                events = await self.read(stream, after, PAGE)
                for event in events:
                    yield event
                    after = event.position
                if not events:
                    await bell.rung(heard)

    def consumer(self, name: str, stream: str, terms: Terms, handle: Handle) -> Consumer:
        from runtime.services.events.adapters.redis_pending import RedisPending
        from runtime.services.events.group import Group

        log, dead = self.key(stream, "log"), self.key(stream, f"dead:{name}")
        pending = RedisPending(self.redis, log, dead, name, self._instance)
        return Group(name, stream, pending, terms, handle)

    async def dead(self, stream: str, subscription: str, after: str, limit: int) -> list[DeadEvent]:
        with answering(self.redis):
            letters = await self.redis.xrange(self.key(stream, f"dead:{subscription}"), f"({after}", "+", count=limit)
        return [_dead(stream, subscription, letter.decode(), fields) for letter, fields in letters]

    async def replay(self, stream: str, subscription: str, letters: list[str]) -> list[str]:
        if self._replay is None:
            self._replay = self.redis.register_script(_REPLAY)
        with answering(self.redis):
            again = await self._replay(
                keys=[self.key(stream, "log"), self.key(stream, f"dead:{subscription}")],
                args=[subscription, *letters],
            )
        return [letter.decode() for letter in again]

    async def close(self) -> None:
        for bell in self._bells.values():
            await bell.close()

    def parse(self, stream: str, entries: list[Any]) -> list[Event]:
        """The events of entries; an entry that is none is left out and logged."""
        events = []
        for position, fields in entries:
            try:
                events.append(unpack((fields or {}).get(b"event", b""), stream, position.decode()))
            except ValueError as error:
                logger.error("an entry is left out: %s", error, extra={"stream": stream})
        return events


def _dead(stream: str, subscription: str, letter: str, fields: dict[bytes, bytes]) -> DeadEvent:
    position = fields[b"position"].decode()
    return DeadEvent(
        subscription,
        letter,
        position,
        error=fields[b"error"].decode(errors="replace"),
        tries=int(fields[b"tries"]),
        event=event_of(fields, stream, position),
    )


class Bell:
    """Rings when a stream grows, for all who follow it: one waiting connection, however many they are.

    Args:
        redis: the client to take address and password from.
        key: the stream's.
    """

    def __init__(self, redis: Client, key: str) -> None:
        self.position = "0-0"
        self._redis = redis
        self._key = key
        self._listeners = 0
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Condition()
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Bell:
        async with self._opening:
            if self._task is None or self._task.done():
                with answering(self._redis):
                    last = await self._redis.xrevrange(self._key, count=1)
                self.position = last[0][0].decode() if last else "0-0"
                self._task = asyncio.create_task(self._listen(), name=f"follow {self._key}")
            self._listeners += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listeners -= 1
        if not self._listeners:
            await self.close()

    async def rung(self, heard: str) -> None:
        """Waits until the stream has grown beyond what was heard of it."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.position != heard)

    async def close(self) -> None:
        """Ends the waiting read; the next listener begins another."""
        task, self._task = self._task, None
        if task is not None:
            await end_tasks([task])

    async def _listen(self) -> None:
        client = blocking_client(self._redis, WAIT_MS / 1000)
        pause = FIRST_PAUSE
        try:
            while True:
                try:
                    answer = await client.xread({self._key: self.position}, block=WAIT_MS, count=PAGE)
                    pause = FIRST_PAUSE
                except AWAY as error:
                    logger.debug("a stream cannot be followed, trying again: %s", reason(error))
                    await asyncio.sleep(pause)
                    pause = min(LONGEST_PAUSE, pause * 2)
                    continue
                if answer:
                    async with self._moved:
                        self.position = answer[0][1][-1][0].decode()
                        self._moved.notify_all()
        finally:
            await client.aclose()
            await client.connection_pool.disconnect()
