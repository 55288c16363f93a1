"""Streams in this process's memory: the twin of `adapters/redis.py` for tests and for a single small process.

Everything is as in Redis, but that it ends with the process: positions, retention by about so many events, ids that
are remembered for a day, subscriptions whose workers share events, tries and dead letters.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime.services.events.adapters.memory_log import Kept, Log, Place
from runtime.services.events.adapters.memory_members import NOBODY, Pending
from runtime.services.events.adapters.memory_seat import MemorySeat
from runtime.services.events.backend import Draft, Figures, GroupFigures, Retention
from runtime.services.events.envelope import event_of, pack, unpack
from runtime.services.events.group import Group
from runtime.services.events.partitions import partition_of
from runtime.services.events.ports import DeadEvent
from runtime.services.events.positions import parsed, written

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.services.events.consuming import Consumer, Handler, Terms
    from runtime.services.events.ports import Announcement, Event


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
        packed = [pack(draft.event, self._source, draft.data) for draft in drafts]
        log = self._log(stream)
        stored = [self._store(log, draft, each) for draft, each in zip(drafts, packed, strict=True)]
        log.trim(retention.max_length, retention.max_age)
        log.ring()
        return stored

    def _store(self, log: Log, draft: Draft, stored: bytes) -> Event:
        event = draft.event
        if known := log.seen(event.id):
            first = log.kept.get(known)
            return replace(event, position=written(known)) if first is None else _event(event.stream, known, first)
        place = log.add(Kept(stored, None if event.key is None else partition_of(event.key)))
        if draft.once:
            log.remember(event.id, place)
        return replace(event, position=written(place))

    async def read(self, stream: str, after: str, limit: int) -> list[Event]:
        log = self._log(stream)
        return [_event(stream, place, log.kept[place]) for place in log.after(parsed(after), limit)]

    def entry(self, stream: str, draft: Draft, retention: Retention) -> Announcement | None:
        return None

    async def sweep(self, stream: str, max_age: float) -> int:
        return self._log(stream).sweep(max_age)

    async def figures(self, stream: str, groups: Sequence[str] = ()) -> Figures:
        log = self._log(stream)
        return Figures(
            length=len(log.places),
            first=written(log.places[0]) if log.places else None,
            last=written(log.last),
            added=log.added,
            groups={name: log.groups[name].figures() if name in log.groups else GroupFigures() for name in groups},
        )

    def notify(self, stream: str, after: str, call: Callable[[], None]) -> None:
        self._log(stream).notify(parsed(after), call)

    def consumer(self, name: str, stream: str, terms: Terms, handler: Handler) -> Consumer:
        worker = next(self._workers)
        seat = MemorySeat(self._log(stream), name, worker, lease=terms.reclaim, keyed=terms.key_order)
        return Group(name, stream, seat, terms, handler)

    async def dead(self, stream: str, subscription: str, after: str, limit: int) -> list[DeadEvent]:
        members = self._log(stream).groups.get(subscription)
        begin, _ = parsed(after)
        letters = [letter for letter in members.dead if letter.number > begin][:limit] if members else []
        return [
            DeadEvent(
                subscription,
                written((letter.number, 0)),
                letter.position,
                letter.error,
                letter.tries,
                event_of(letter.stored, stream, letter.position),
            )
            for letter in letters
        ]

    async def replay(self, stream: str, subscription: str, letters: list[str]) -> list[str]:
        log = self._log(stream)
        members = log.groups[subscription]
        wanted = {parsed(letter)[0] for letter in letters}
        again = [each for each in members.dead if each.number in wanted and parsed(each.position) in log.kept]
        for letter in again:
            members.pending[parsed(letter.position)] = Pending(NOBODY, 0)
            members.dead.remove(letter)
        return [written((letter.number, 0)) for letter in again]

    async def close(self) -> None:
        """Nothing to let go of: who follows waits for nothing outside."""

    def _log(self, stream: str) -> Log:
        return self._logs.setdefault(stream, Log())


def _event(stream: str, place: Place, kept: Kept) -> Event:
    return unpack(kept.stored, stream, written(place))
