"""A worker's seat in a group in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runtime.services.events.adapters.memory_members import Letter, Members
from runtime.services.events.backend import LONGEST_ERROR
from runtime.services.events.positions import first_of, parsed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runtime.services.events.adapters.memory_log import Log, Place
    from runtime.services.events.seat import Entry, Given, Standing, Taken


class MemorySeat:
    """One worker's place in its group; implements `Seat`.

    Args:
        log: the stream.
        group: the subscription's name.
        worker: names this worker among all of the process.
        lease: seconds.
        keyed: whether the events of one key keep their order.
    """

    def __init__(self, log: Log, group: str, worker: int, *, lease: float, keyed: bool) -> None:
        self._log = log
        self._group = group
        self._worker = worker
        self._lease = lease
        self._keyed = keyed
        self._grown = asyncio.Event()
        self._known: Place = (0, 0)
        """What came after it may wait in this worker's box."""

    async def create(self, start: str) -> None:
        first = first_of(start)
        last = self._log.last if first == "$" else parsed(first)
        members = self._log.groups.setdefault(
            self._group, Members(self._log, last, self._keyed, self._log.number(last))
        )
        members.keyed = self._keyed

    async def sit(self, release: Iterable[int]) -> Standing:
        return self._members.sit(self._worker, self._lease, frozenset(release))

    async def take(self, token: int, done: Sequence[str], count: int, *, wait: bool = False) -> Taken | None:
        await self.acknowledge(done)
        if wait:
            self._grown.clear()
            self._log.notify(self._known, self._grown.set)
            await self._grown.wait()
        taken = self._members.take(self._worker, token, count)
        if not self._members.boxes.get(self._worker):  # else what is in it would wait for the stream to grow
            self._known = self._members.last
        return taken

    def call_off(self) -> None:
        self._grown.set()

    async def acknowledge(self, done: Sequence[str]) -> None:
        for position in done:
            self._members.pending.pop(parsed(position), None)

    async def mine(self, token: int) -> list[Given] | None:
        return self._members.mine(self._worker, token)

    async def count(self, position: str, tries: int) -> bool:
        given = self._members.pending.get(parsed(position))
        if given is None or given.worker != self._worker:
            return False
        given.tries = tries
        return True

    async def bury(self, entry: Entry, error: str, tries: int, *, keep: bool) -> bool:
        position, stored = entry
        members, place = self._members, parsed(position)
        given = members.pending.get(place)
        if given is None or given.worker != self._worker:
            return False
        if keep:
            members.dead.append(Letter(next(members.letters), position, stored or b"", error[:LONGEST_ERROR], tries))
        del members.pending[place]
        return True

    async def leave(self, uncounted: Sequence[str]) -> None:
        self._members.leave(self._worker, [parsed(position) for position in uncounted])

    async def lag(self) -> int | None:
        return len(self._log.after(self._members.last, len(self._log.places)))

    def gone(self, error: BaseException) -> bool:
        """Never: a group lives as long as its stream."""
        return False

    async def close(self) -> None:
        """Nothing to end: waiting has no connection of its own."""

    @property
    def _members(self) -> Members:
        return self._log.groups[self._group]
