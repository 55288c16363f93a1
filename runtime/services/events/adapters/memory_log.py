"""One stream in memory: its events in order, and the ids that it remembers."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.services.events.adapters.memory_members import Members

Place = tuple[int, int]
"""A position as numbers."""

DAY: Final = 86_400.0
NODE: Final = 100
"""A stream is trimmed by so many events at once, as Redis does it: to trim at each event would move all the others."""


class Kept(NamedTuple):
    """An event as it is stored, and the partition of its key."""

    stored: bytes
    partition: int | None


class Log:
    """A stream and the groups of its subscriptions."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.kept: dict[Place, Kept] = {}
        self.last: Place = (0, 0)
        self.added = 0
        """So many events were ever stored."""
        self.groups: dict[str, Members] = {}
        self._calls: list[Callable[[], None]] = []
        self._seen: dict[str, tuple[Place, float]] = {}

    def add(self, kept: Kept) -> Place:
        """Stores an event at the end. The clock may be put back, positions never are."""
        now = time.time_ns() // 1_000_000
        self.last = (now, 0) if now > self.last[0] else (self.last[0], self.last[1] + 1)
        self.places.append(self.last)
        self.kept[self.last] = kept
        self.added += 1
        return self.last

    def notify(self, after: Place, call: Callable[[], None]) -> None:
        """Calls once when the stream has grown beyond a place."""
        if self.last > after:
            call()
        else:
            self._calls.append(call)

    def ring(self) -> None:
        """Tells those who wait that the stream has grown."""
        calls, self._calls = self._calls, []
        for call in calls:
            call()

    def trim(self, max_length: int, max_age: float) -> None:
        """Drops what is more than a stream's length and age in seconds, by whole nodes."""
        spare = max(len(self.places) - max_length, self._older(max_age))
        self._drop(spare - spare % NODE)

    def sweep(self, max_age: float) -> int:
        """Drops all that is older than so many seconds; returns how many events."""
        spare = self._older(max_age)
        self._drop(spare)
        return spare

    def after(self, place: Place, limit: int) -> list[Place]:
        """What comes after a position, oldest first."""
        begin = bisect_right(self.places, place)
        return self.places[begin : begin + limit]

    def number(self, place: Place) -> int:
        """How many events were ever stored up to a place."""
        return self.added - len(self.places) + bisect_right(self.places, place)

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

    def _older(self, max_age: float) -> int:
        return bisect_left(self.places, (int((time.time() - max_age) * 1000), 0))

    def _drop(self, count: int) -> None:
        for place in self.places[:count]:
            del self.kept[place]
        del self.places[:count]
