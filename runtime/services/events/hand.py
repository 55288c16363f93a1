"""The events that a worker has in hand: which may be handled now, and which wait for the one before them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct

from runtime.services.events.partitions import partition_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.services.events.ports import Event


class Work(Struct, eq=False):
    """An event in hand.

    Args:
        event: what is to be handled.
        stored: the event as it is stored.
        tries: the number of its coming try, or of the present one.
        again: it was given to a worker before, so that its tries are to be written down before the next begins.
        behind: it waits for the one before it with its key.
        following: the next one with its key.
    """

    event: Event
    stored: bytes
    tries: int
    again: bool
    running: bool = False
    dropped: bool = False
    behind: bool = False
    following: Work | None = None

    @property
    def partition(self) -> int | None:
        """The partition of its key; None without one."""
        return None if self.event.key is None else partition_of(self.event.key)


class Hand:
    """Events in hand, by position; those of one key come one after another.

    Args:
        key_order: whether they do.
    """

    def __init__(self, *, key_order: bool) -> None:
        self.ready: deque[Work] = deque()
        """May be handled now, the oldest first."""
        self.running = 0
        self._key_order = key_order
        self._works: dict[str, Work] = {}
        self._last: dict[str, Work] = {}
        """By key the last one in its line."""

    def __len__(self) -> int:
        return len(self._works)

    def __contains__(self, position: str) -> bool:
        return position in self._works

    def __iter__(self) -> Iterator[Work]:
        return iter(self._works.values())

    @property
    def parked(self) -> int:
        """How many wait for the one before them, or for their next try."""
        return len(self._works) - len(self.ready) - self.running

    def add(self, work: Work) -> None:
        """Takes an event, which comes after all in hand that have its key."""
        self._works[work.event.position] = work
        key = work.event.key
        if key is not None and self._key_order:
            before = self._last.get(key)
            self._last[key] = work
            if before is not None:
                before.following, work.behind = work, True
                return
        self.ready.append(work)

    def begin(self) -> Work:
        """The next event that may be handled; there must be one."""
        work = self.ready.popleft()
        work.running = True
        self.running += 1
        return work

    def pause(self, work: Work) -> None:
        """A try has ended, and the event stays in hand for another."""
        work.running = False
        self.running -= 1

    def remove(self, work: Work) -> None:
        """An event is no longer in hand: the next one of its key has its turn."""
        if work.dropped:
            return
        if work.running:
            work.running = False
            self.running -= 1
        event = work.event
        del self._works[event.position]
        if event.key is None or not self._key_order:
            return
        following = work.following
        if following is not None:
            following.behind = False
            self.ready.append(following)
        else:
            del self._last[event.key]

    def drop(self, condition: Callable[[Work], bool]) -> None:
        """Puts down what is not being handled and fits a condition, as if it had never been given."""
        for work in [work for work in self._works.values() if not work.running and condition(work)]:
            work.dropped = True
            del self._works[work.event.position]
        self.ready = deque(work for work in self.ready if not work.dropped)
        self._last = {}
        for work in self._works.values() if self._key_order else ():
            key = work.event.key
            if key is None:
                continue
            before, work.following = self._last.get(key), None
            self._last[key] = work
            if before is not None:
                before.following = work
            elif work.behind:
                work.behind = False
                self.ready.append(work)
