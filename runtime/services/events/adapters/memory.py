"""Streams in this process's memory: the twin of `adapters/redis.py` for tests and for a single small process.

Everything is as in Redis, but that it ends with the process: positions, retention by about so many events, ids that
are remembered for a day, subscriptions whose workers share events, tries and dead letters.
"""

from __future__ import annotations

import asyncio
import math
import time
from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Final

from runtime.services.events.backend import (
    BATCH,
    DEAD_LENGTH,
    LONGEST_ERROR,
    Consumer,
    Draft,
    Entry,
    Figures,
    Handle,
    Retention,
    Terms,
)
from runtime.services.events.envelope import event_of, pack, unpack
from runtime.services.events.group import Group
from runtime.services.events.ports import DeadEvent
from runtime.services.events.positions import first_of, parsed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from runtime.services.events.ports import Event

Place = tuple[int, int]
"""A position as numbers."""

DAY: Final = 86_400.0
NODE: Final = 100
"""A stream is trimmed by so many events at once, as Redis does it: to trim at each event would move all the others."""
PAGE: Final = 200
NOBODY: Final = 0
"""The worker of events that wait to be taken over."""


class MemoryStreams:
    """All streams of an environment in this process; implements `Backend`.

    Args:
        source: who publishes, as CloudEvents calls it.
    """

    def __init__(self, *, source: str = "runtime") -> None:
        self._source = source
        self._logs: dict[str, Log] = {}
        self._workers = count(1)

    async def append(self, stream: str, drafts: Sequence[Draft], retention: Retention) -> list[Event]:
        packed = [pack(event, self._source).encode() for event, _ in drafts]
        log = self._log(stream)
        return [self._store(log, draft, stored, retention) for draft, stored in zip(drafts, packed, strict=True)]

    def _store(self, log: Log, draft: Draft, stored: bytes, retention: Retention) -> Event:
        event, once = draft
        if known := log.seen(event.id):
            first = log.stored.get(known)
            return replace(event, position=_text(known)) if first is None else _event(event.stream, known, first)
        oldest = int((event.time.timestamp() - retention.max_age) * 1000)
        place = log.add(stored)
        log.trim(retention.max_length, oldest)
        if once:
            log.remember(event.id, place)
        return replace(event, position=_text(place))

    async def read(self, stream: str, after: str, limit: int) -> list[Event]:
        log = self._log(stream)
        return [_event(stream, place, log.stored[place]) for place in log.after(parsed(after), limit)]

    async def figures(self, stream: str) -> Figures:
        places, last = self._log(stream).places, self._log(stream).last
        return Figures(len(places), _text(places[0]) if places else None, _text(last))

    async def follow(self, stream: str, after: str) -> AsyncIterator[Event]:
        log = self._log(stream)
        if after == "$":
            after = _text(log.last)
        while True:
            grown = log.grown
            events = await self.read(stream, after, PAGE)
            for event in events:
                yield event
                after = event.position
            if not events:
                await grown.wait()

    def consumer(self, name: str, stream: str, terms: Terms, handle: Handle) -> Consumer:
        return Group(name, stream, MemoryPending(self._log(stream), name, next(self._workers)), terms, handle)

    async def dead(self, stream: str, subscription: str, after: str, limit: int) -> list[DeadEvent]:
        members = self._log(stream).groups.get(subscription)
        begin, _ = parsed(after)
        letters = [letter for letter in members.dead if letter.number > begin][:limit] if members else []
        return [
            DeadEvent(
                subscription,
                _text((letter.number, 0)),
                letter.position,
                letter.error,
                letter.tries,
                event_of(letter.fields, stream, letter.position),
            )
            for letter in letters
        ]

    async def replay(self, stream: str, subscription: str, letters: list[str]) -> list[str]:
        log = self._log(stream)
        members = log.groups[subscription]
        wanted = {parsed(letter)[0] for letter in letters}
        again = [each for each in members.dead if each.number in wanted and parsed(each.position) in log.stored]
        for letter in again:
            members.pending[parsed(letter.position)] = Given(NOBODY, -math.inf, 0)
            members.dead.remove(letter)
        return [_text((letter.number, 0)) for letter in again]

    async def close(self) -> None:
        """Nothing to let go of: who follows waits for nothing outside."""

    def _log(self, stream: str) -> Log:
        return self._logs.setdefault(stream, Log())


class Log:
    """One stream: its events in order, the ids that it remembers and the groups of its subscriptions."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.stored: dict[Place, bytes] = {}
        self.last: Place = (0, 0)
        self.grown = asyncio.Event()
        """Set when the next event is stored; every event has a new one."""
        self.groups: dict[str, Members] = {}
        self._seen: dict[str, tuple[Place, float]] = {}

    def add(self, stored: bytes) -> Place:
        """Stores an event at the end."""
        now = time.time_ns() // 1_000_000
        self.last = (now, 0) if now > self.last[0] else (self.last[0], self.last[1] + 1)
        self.places.append(self.last)
        self.stored[self.last] = stored
        self.grown.set()
        self.grown = asyncio.Event()
        return self.last

    def trim(self, max_length: int, oldest: int) -> None:
        """Drops what is more than a stream's length and older than a moment, in milliseconds, by whole nodes."""
        spare = max(len(self.places) - max_length, bisect_left(self.places, (oldest, 0)))
        spare -= spare % NODE
        for place in self.places[:spare]:
            del self.stored[place]
        del self.places[:spare]

    def after(self, place: Place, limit: int) -> list[Place]:
        """What comes after a position, oldest first."""
        begin = bisect_right(self.places, place)
        return self.places[begin : begin + limit]

    def seen(self, id_: str) -> Place | None:
        """Where the event of an id was stored, within the last day."""
        place, until = self._seen.get(id_, (None, 0.0))
        return place if until > time.monotonic() else None

    def remember(self, id_: str, place: Place) -> None:
        """Keeps an id for a day; those whose day is over are forgotten, which are the first ones."""
        now = time.monotonic()
        self._seen.pop(id_, None)
        self._seen[id_] = (place, now + DAY)
        while (oldest := next(iter(self._seen))) and self._seen[oldest][1] <= now:
            del self._seen[oldest]


@dataclass(slots=True)
class Given:
    """An event that a worker has been given and that is not handled yet."""

    worker: int
    since: float
    tries: int = 1


@dataclass(slots=True)
class Letter:
    """A dead letter: an event, as it was stored, that could not be handled."""

    number: int
    position: str
    fields: dict[bytes, bytes]
    error: str
    tries: int


@dataclass(slots=True)
class Members:
    """The group of a subscription: how far it has been given the stream, what is pending and what is dead."""

    last: Place
    pending: dict[Place, Given] = field(default_factory=dict)
    dead: deque[Letter] = field(default_factory=lambda: deque(maxlen=DEAD_LENGTH))
    letters: count[int] = field(default_factory=lambda: count(1))


class MemoryPending:
    """One worker's view of its group; implements `Pending`.

    Args:
        log: the stream.
        group: the subscription's name.
        worker: names this worker among all of the process.
    """

    def __init__(self, log: Log, group: str, worker: int) -> None:
        self._log = log
        self._group = group
        self._worker = worker

    async def create(self, start: str) -> None:
        first = first_of(start)
        self._log.groups.setdefault(self._group, Members(self._log.last if first == "$" else parsed(first)))

    async def new(self, count: int, wait: float) -> list[Entry]:
        grown = self._log.grown
        if not self._log.after(self._members.last, 1):
            try:
                async with asyncio.timeout(wait):
                    await grown.wait()
            except TimeoutError:
                return []
        places = self._log.after(self._members.last, count)
        for place in places:
            self._members.pending[place] = Given(self._worker, time.monotonic())
            self._members.last = place
        return [self._entry(place) for place in places]

    async def mine(self, after: str) -> list[Entry]:
        begin = parsed(after)
        own = (place for place, given in self._members.pending.items() if given.worker == self._worker)
        places = sorted(place for place in own if place > begin)[:BATCH]
        return [self._take(place) for place in places]

    async def abandoned(self, idle: float, count: int) -> list[Entry]:
        before = time.monotonic() - idle
        silent = sorted(place for place, given in self._members.pending.items() if given.since <= before)
        return [self._take(place) for place in silent[:count]]

    async def inherit(self) -> int:
        """Nothing: what a process has left ends with it."""
        return 0

    async def forget(self) -> None:
        """Nothing: a worker for which nothing is pending is nowhere written down."""

    async def tries(self, position: str) -> int:
        given = self._members.pending.get(parsed(position))
        return given.tries if given else 1

    async def count(self, position: str, tries: int, *, idle: float = 0.0) -> None:
        if given := self._members.pending.get(parsed(position)):
            given.worker, given.since, given.tries = self._worker, time.monotonic() - idle, tries

    async def renew(self, positions: Iterable[str]) -> None:
        for position in positions:
            if given := self._members.pending.get(parsed(position)):
                given.worker, given.since = self._worker, time.monotonic()

    async def acknowledge(self, position: str) -> None:
        self._members.pending.pop(parsed(position), None)

    async def bury(self, entry: Entry, error: str, tries: int, *, keep: bool) -> None:
        position, fields = entry
        if keep:
            letter = Letter(next(self._members.letters), position, fields or {}, error[:LONGEST_ERROR], tries)
            self._members.dead.append(letter)
        await self.acknowledge(position)

    async def lag(self) -> int | None:
        return len(self._log.places) - bisect_right(self._log.places, self._members.last)

    def gone(self, error: BaseException) -> bool:
        """Never: a group lives as long as its stream."""
        return False

    async def close(self) -> None:
        """Nothing to end: waiting has no connection of its own."""

    @property
    def _members(self) -> Members:
        return self._log.groups[self._group]

    def _take(self, place: Place) -> Entry:
        """Gives an event to this worker once more."""
        given = self._members.pending[place]
        given.worker, given.since, given.tries = self._worker, time.monotonic(), given.tries + 1
        return self._entry(place)

    def _entry(self, place: Place) -> Entry:
        stored = self._log.stored.get(place)
        return _text(place), None if stored is None else {b"event": stored}


def _text(place: Place) -> str:
    return f"{place[0]}-{place[1]}"


def _event(stream: str, place: Place, stored: bytes) -> Event:
    return unpack(stored, stream, _text(place))
