"""How many jobs a worker runs at once, where the spec gives bounds: more with the backlog, fewer under strain.

A pure controller, asked once a tick (about a second apart; nothing depends on how long it is). It rises like TCP's
congestion window (RFC 5681): it doubles while jobs wait and all slots are taken, until it meets strain; from there on
it feels its way by a twentieth, until that has gone well for some time. Strain (the event loop late, the memory short,
jobs failing in rows) lowers it by a third at once and keeps it there for some ticks. Between calm and strained lies a
band in which nothing changes, and it sinks slowly when slots stay empty, so that it does not flap.

Example:
    >>> scaler = Scaler(1, 100)
    >>> [scaler.tick(Load(backlog=500, running=scaler.concurrency)) for _ in range(8)]
    [2, 4, 8, 16, 32, 64, 100, 100]
    >>> scaler.tick(Load(backlog=500, running=100, lag=200.0)), scaler.reason
    (66, 'the event loop is 200 ms late')
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

CALM_LAG, STRAINED_LAG = 20.0, 60.0
"""Milliseconds by which the event loop is late."""
CALM_MEMORY, STRAINED_MEMORY = 0.75, 0.9
"""Parts of the memory limit."""
CALM_FAILURES, STRAINED_FAILURES = 0.2, 0.5
"""Parts of the tries that ended in the last tick."""
LOWERED: Final = 2 / 3
FELT: Final = 1 / 20
FULL: Final = 0.9
"""With so many of the slots taken, more of them would be used."""
FORGOTTEN: Final = 20
"""Ticks of feeling its way without strain, after which it doubles again."""
HELD: Final = 5
"""Ticks without a rise after strain."""
EMPTY: Final = 10
"""Ticks that slots must stay empty until it sinks."""
SUNK: Final = 3 / 4


@dataclass(frozen=True, slots=True)
class Load:
    """What a worker is under, at one tick.

    Args:
        backlog: jobs that wait and could run now.
        running: jobs that run now.
        lag: milliseconds by which the event loop is late.
        memory: the part of its memory limit that the process has, 0 where it has no limit.
        failures: the part of the tries that ended since the last tick and failed; 0 where none or too few ended.
    """

    backlog: int = 0
    running: int = 0
    lag: float = 0.0
    memory: float = 0.0
    failures: float = 0.0


class Scaler:
    """The controller of one queue in one worker.

    Args:
        least: never fewer.
        most: never more.

    Raises:
        ValueError: `least` is below 1 or above `most`.
    """

    def __init__(self, least: int, most: int) -> None:
        self._bound(least, most)
        self._concurrency = least
        self._known_limit = math.inf
        """Where strain began the last time: below it, it may double."""
        self._felt = 0.0
        """Parts of a slot that it has felt its way by and not taken yet."""
        self._calm = 0
        self._held = 0
        self._empty = 0
        self.reason = "it has just begun"
        """Why it is what it is, in words."""

    @property
    def concurrency(self) -> int:
        return self._concurrency

    def bound(self, least: int, most: int) -> int:
        """Changes the bounds; the number within them."""
        self._bound(least, most)
        self._concurrency = min(most, max(least, self._concurrency))
        return self._concurrency

    def tick(self, load: Load) -> int:
        """How many jobs may run at once from now on."""
        if strain := _strain(load):
            self._lower(strain)
        elif self._held:
            self._held -= 1
        elif load.backlog > 0 and load.running >= FULL * self._concurrency:
            self._empty = 0
            if _calm(load):
                self._raise(load.backlog)
        elif load.backlog == 0 and load.running < SUNK * self._concurrency:
            self._sink(load.running)
        else:
            self._empty = 0
        return self._concurrency

    def _bound(self, least: int, most: int) -> None:
        if not 1 <= least <= most:
            raise ValueError(f"no bounds of a concurrency: {least} to {most}")
        self._least, self._most = least, most

    def _lower(self, reason: str) -> None:
        self._empty = 0
        if self._held:  # what was lowered last has not yet told
            self._held -= 1
            return
        lowered = max(self._least, math.floor(self._concurrency * LOWERED))
        if lowered < self._concurrency:
            self._known_limit = self._concurrency = lowered
        self._felt, self._calm = 0.0, 0
        self.reason = reason
        self._held = HELD

    def _raise(self, backlog: int) -> None:
        now = self._concurrency
        if now < self._known_limit:
            wanted = int(min(now * 2, max(self._known_limit, now + 1)))
        else:
            self._felt, whole = math.modf(self._felt + now * FELT)
            wanted = now + int(whole)
            self._calm += 1
            if self._calm >= FORGOTTEN:
                self._known_limit = math.inf
        raised = min(self._most, wanted, now + backlog)
        if raised > now:
            self._concurrency = raised
            self.reason = f"{backlog:,} {'job waits' if backlog == 1 else 'jobs wait'}"

    def _sink(self, running: int) -> None:
        self._empty += 1
        if self._empty < EMPTY:
            return
        self._empty = 0
        sunk = max(self._least, running, math.floor(self._concurrency * SUNK))
        if sunk < self._concurrency:
            self._concurrency = sunk
            self._known_limit = math.inf  # long ago: what strained it then may be over
            self.reason = "slots stayed empty"


def _strain(load: Load) -> str:
    """What is too much, in words; empty where nothing is."""
    if load.memory >= STRAINED_MEMORY:
        return f"{load.memory:.0%} of the memory is taken"
    if load.lag >= STRAINED_LAG:
        return f"the event loop is {load.lag:.0f} ms late"
    if load.failures >= STRAINED_FAILURES:
        return f"{load.failures:.0%} of the tries fail"
    return ""


def _calm(load: Load) -> bool:
    return load.lag <= CALM_LAG and load.memory <= CALM_MEMORY and load.failures <= CALM_FAILURES
