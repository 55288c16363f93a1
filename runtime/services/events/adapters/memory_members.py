"""The group of a subscription in memory: who has a seat, whose each partition is, what is pending and what is dead.

The rules are those of the scripts in `redis_scripts.py`, which says them in Lua.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Final

from runtime.services.events.backend import DEAD_LENGTH, GroupFigures
from runtime.services.events.partitions import PARTITIONS
from runtime.services.events.positions import written
from runtime.services.events.seat import MOST_AHEAD, Given, Standing, Taken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.events.adapters.memory_log import Log, Place

NOBODY: Final = 0
"""The worker of events that wait to be taken over."""


@dataclass(slots=True)
class Lease:
    """A seat that is taken: until when, by the monotonic clock, and its token."""

    until: float
    token: int


@dataclass(slots=True)
class Pending:
    """An event that a worker has been given and that is not handled yet."""

    worker: int
    tries: int = 1


@dataclass(slots=True)
class Letter:
    """A dead letter: an event, as it was stored, that could not be handled."""

    number: int
    position: str
    stored: bytes
    error: str
    tries: int


@dataclass(slots=True)
class Members:
    """The group of a subscription.

    Args:
        log: the stream.
        last: how far the group has been given it.
        keyed: whether the events of a partition are for its owner alone.
        given: the number of the last event that it was given, of all that the stream ever had.
    """

    log: Log
    last: Place
    keyed: bool
    given: int
    pending: dict[Place, Pending] = field(default_factory=dict)
    dead: deque[Letter] = field(default_factory=lambda: deque(maxlen=DEAD_LENGTH))
    letters: count[int] = field(default_factory=lambda: count(1))
    seats: dict[int, Lease] = field(default_factory=dict)
    owners: dict[int, int] = field(default_factory=dict)
    boxes: dict[int, deque[Place]] = field(default_factory=dict)
    tokens: count[int] = field(default_factory=lambda: count(1))

    def sit(self, worker: int, lease: float, release: frozenset[int]) -> Standing:
        """Gives a seat or renews it, and shares out what nobody holds any more."""
        now = time.monotonic()
        self.seats = {name: seat for name, seat in self.seats.items() if seat.until >= now}
        changed = set() if worker in self.seats else {worker}
        self.seats.setdefault(worker, Lease(0.0, 0)).until = now + lease
        freed = frozenset(part for part in release if self.owners.get(part) == worker)
        if freed:  # what waits in the box may be another's now: all that is pending is looked at anew
            self.boxes.pop(worker, None)
            changed.add(worker)
        if self.keyed:
            changed |= self._share(worker, freed)
        lost = self._move(worker, freed, changed)
        for name in changed:
            self.seats[name].token = next(self.tokens)
        own = frozenset(part for part, owner in self.owners.items() if owner == worker)
        share = -(-PARTITIONS // len(self.seats))
        return Standing(self.seats[worker].token, max(0, len(own) - share), own, lost)

    def _share(self, worker: int, freed: frozenset[int]) -> set[int]:
        """Gives each partition that nobody has to whoever has the fewest; returns who got some."""
        self.owners = {part: name for part, name in self.owners.items() if name in self.seats and part not in freed}
        shares = {name: 0 for name in sorted(self.seats) if name != worker or not freed or len(self.seats) == 1}
        for owner in self.owners.values():
            if owner in shares:
                shares[owner] += 1
        changed = set()
        for part in range(PARTITIONS):
            if part not in self.owners:
                least = min(shares, key=shares.__getitem__)
                self.owners[part] = least
                shares[least] += 1
                changed.add(least)
        return changed

    def _move(self, worker: int, freed: frozenset[int], changed: set[int]) -> int:
        """Hands what is pending for those who are gone, and in freed partitions, to who has it now."""
        lost = 0
        for place, given in sorted(self.pending.items()):
            kept = self.log.kept.get(place)
            partition = kept.partition if kept and self.keyed else None
            leaving = given.worker == worker and partition in freed
            if given.worker in self.seats and not leaving:
                continue
            if kept is None:
                del self.pending[place]
                lost += 1
                continue
            to = worker if partition is None else self.owners[partition]
            given.worker, given.tries = to, max(0, given.tries - 1) if leaving else given.tries
            changed.add(to)
        return lost

    def take(self, worker: int, token: int, count: int) -> Taken | None:
        """Takes; what is in another's partition goes into that one's box."""
        seat = self.seats.get(worker)
        if seat is None or seat.token != token:
            return None
        box = self.boxes.setdefault(worker, deque())
        taken = [box.popleft() for _ in range(min(count, len(box)))]
        for place in taken:
            self.pending[place].tries = 1
        missed, held = 0, any(len(other) >= MOST_AHEAD for name, other in self.boxes.items() if name != worker)
        if not held:
            fresh = self.log.after(self.last, count - len(taken))
            missed = self.log.number(fresh[0]) - self.given - 1 if fresh else 0
            self.given += missed
            for place in fresh:
                kept = self.log.kept[place]
                owner = worker if kept.partition is None else self.owners.get(kept.partition, worker)
                self.pending[place] = Pending(owner, 1 if owner == worker else 0)
                self.last, self.given = place, self.given + 1
                if owner == worker:
                    taken.append(place)
                else:
                    self.boxes.setdefault(owner, deque()).append(place)
        return Taken([(written(place), self._stored(place)) for place in taken], missed, held and not taken)

    def mine(self, worker: int, token: int) -> list[Given] | None:
        """All that is pending for a worker, what is in its box included."""
        seat = self.seats.get(worker)
        if seat is None or seat.token != token:
            return None
        self.boxes.pop(worker, None)
        own = sorted(place for place, given in self.pending.items() if given.worker == worker)
        return [Given(written(place), self._stored(place), self.pending[place].tries) for place in own]

    def leave(self, worker: int, uncounted: Sequence[Place]) -> None:
        """Frees a seat; the others look at what it has left."""
        self.seats.pop(worker, None)
        self.boxes.pop(worker, None)
        for place in uncounted:
            if (given := self.pending.get(place)) and given.worker == worker:
                given.tries = max(0, given.tries - 1)
        for seat in self.seats.values():
            seat.token = next(self.tokens)
        self.log.ring()

    def figures(self) -> GroupFigures:
        lag = len(self.log.after(self.last, len(self.log.places)))
        return GroupFigures(lag, len(self.pending), len(self.dead), len(self.seats), self.given)

    def _stored(self, place: Place) -> bytes | None:
        kept = self.log.kept.get(place)
        return kept.stored if kept else None
