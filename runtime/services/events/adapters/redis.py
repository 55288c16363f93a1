"""Streams in Redis.

The keys of a stream, all with one hash tag, so that a cluster keeps them together:

    log          stream  the events, in the field `event`; of those with a key the partition, in `part`
    batch:<id>   string  the answer to a publish, for a minute: as long as a client may send a command again
    seen:<id>    string  the position of an event of the publisher's own id, for a day
    dead:<s>     stream  events that a subscription could not handle, with the error

and those of a subscription's group, which `redis_scripts` tells. Those who follow a stream wait over one connection
together, each worker over one of its own, and nothing else ever waits on them.
"""

from __future__ import annotations

import logging
import secrets
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import force_setattr, replace

from runtime.services.away import answering
from runtime.services.events.adapters import redis_scripts
from runtime.services.events.adapters.redis_bell import Bell
from runtime.services.events.adapters.redis_seat import RedisSeat
from runtime.services.events.backend import Draft, Figures, GroupFigures, Retention
from runtime.services.events.envelope import event_of, pack, pack_all, unpack
from runtime.services.events.group import Group
from runtime.services.events.partitions import partition_of
from runtime.services.events.ports import Announcement, DeadEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.services.blocking import Client
    from runtime.services.events.consuming import Consumer, Handler, Terms
    from runtime.services.events.ports import Event

logger = logging.getLogger("runtime.events")

DAY: Final = 86_400
MOMENT: Final = 60
"""Seconds for which an answer is kept."""


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
        self._bells: dict[str, Bell] = {}

    def key(self, stream: str, part: str) -> str:
        """The name of one of a stream's keys."""
        return f"{self._prefix}{{events.{stream}}}:{part}"

    async def append(self, stream: str, drafts: Sequence[Draft], retention: Retention) -> list[Event]:
        log, batch = self.key(stream, "log"), self.key(stream, f"batch:{drafts[0].event.id}:{secrets.token_hex(8)}")
        keys, guard = [log, batch], MOMENT
        events: list[bytes | str] = []
        for draft, stored in zip(drafts, pack_all(drafts, self._source), strict=True):
            key = draft.event.key
            about = "" if key is None else str(partition_of(key))
            if draft.once:
                about += "!"
                keys.append(self.key(stream, f"seen:{draft.event.id}"))
            events += (stored, about)
        if len(keys) == len(drafts) + 2:
            guard = 0
        terms = [retention.max_length, int(retention.max_age * 1000), guard, DAY]
        with answering(self.redis):
            answer: bytes = await self.redis.evaluate(redis_scripts.APPEND, keys, [*terms, *events])
            published = []
            for draft, position in zip(drafts, answer.decode().split(" "), strict=True):
                event = draft.event
                if position[0] == "=":
                    event = await self._known(stream, replace(event, position=position[1:]))
                else:
                    force_setattr(event, "position", position)
                published.append(event)
        return published

    async def _known(self, stream: str, event: Event) -> Event:
        """What is stored at an event's position; the event itself where the stream no longer keeps that."""
        stored = await self.redis.xrange(self.key(stream, "log"), event.position, event.position)
        return next(iter(self.parse(stream, stored)), event)

    def entry(self, stream: str, draft: Draft, retention: Retention) -> Announcement | None:
        fields = ["event", pack(draft.event, self._source, draft.data).decode()]
        if draft.event.key is not None:
            fields += ["part", str(partition_of(draft.event.key))]
        return Announcement(self.key(stream, "log"), retention.max_length, fields)

    async def sweep(self, stream: str, max_age: float) -> int:
        with answering(self.redis):
            return int(await self.redis.evaluate(redis_scripts.SWEEP, [self.key(stream, "log")], [int(max_age * 1000)]))

    async def read(self, stream: str, after: str, limit: int) -> list[Event]:
        with answering(self.redis):
            entries = await self.redis.xrange(self.key(stream, "log"), f"({after}", "+", count=limit)
        return self.parse(stream, entries)

    async def figures(self, stream: str, groups: Sequence[str] = ()) -> Figures:
        key = self.key(stream, "log")
        with answering(self.redis):
            async with self.redis.pipeline(transaction=True) as pipe:
                pipe.exists(key)
                for name in groups:
                    pipe.xlen(self.key(stream, f"dead:{name}"))
                    pipe.hlen(self.key(stream, f"seats:{name}"))
                exists, *counts = await pipe.execute()
            if not exists:
                return Figures(groups={name: GroupFigures() for name in groups})
            async with self.redis.pipeline(transaction=True) as pipe:
                pipe.xinfo_stream(key)
                pipe.xinfo_groups(key)
                about, known = await pipe.execute()
        first, by_name = about["first-entry"], {each["name"].decode(): each for each in known}
        return Figures(
            length=about["length"],
            first=first[0].decode() if first else None,
            last=about["last-generated-id"].decode(),
            added=about.get("entries-added", about["length"]),
            groups={
                name: _group_figures(by_name.get(name), dead, workers)
                for name, dead, workers in zip(groups, counts[::2], counts[1::2], strict=True)
            },
        )

    def notify(self, stream: str, after: str, call: Callable[[], None]) -> None:
        self.bell(stream).notify(after, call)

    def bell(self, stream: str) -> Bell:
        """What rings when a stream grows."""
        return self._bells.setdefault(stream, Bell(self.redis, self.key(stream, "log")))

    def consumer(self, name: str, stream: str, terms: Terms, handler: Handler) -> Consumer:
        seat = RedisSeat(
            self.redis,
            partial(self.key, stream),
            name,
            instance=self._instance,
            lease=terms.reclaim,
            keyed=terms.key_order,
        )
        return Group(name, stream, seat, terms, handler)

    async def dead(self, stream: str, subscription: str, after: str, limit: int) -> list[DeadEvent]:
        with answering(self.redis):
            letters = await self.redis.xrange(self.key(stream, f"dead:{subscription}"), f"({after}", "+", count=limit)
        return [_dead(stream, subscription, letter.decode(), fields) for letter, fields in letters]

    async def replay(self, stream: str, subscription: str, letters: list[str]) -> list[str]:
        with answering(self.redis):
            keys = [self.key(stream, "log"), self.key(stream, f"dead:{subscription}")]
            again = await self.redis.evaluate(redis_scripts.REPLAY, keys, [subscription, *letters])
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


def _group_figures(known: dict[str, Any] | None, dead: int, workers: int) -> GroupFigures:
    if known is None:
        return GroupFigures(dead=dead)
    return GroupFigures(known.get("lag"), known["pending"], dead, workers, known.get("entries-read"))


def _dead(stream: str, subscription: str, letter: str, fields: dict[bytes, bytes]) -> DeadEvent:
    position = fields[b"position"].decode()
    return DeadEvent(
        subscription,
        letter,
        position,
        error=fields[b"error"].decode(errors="replace"),
        tries=int(fields[b"tries"]),
        event=event_of(fields.get(b"event"), stream, position),
    )
