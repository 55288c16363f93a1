"""A worker's place in the group of a subscription, wherever the stream is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BATCH: Final = 100
"""Events that a worker takes at once."""
MOST_AHEAD: Final = 1_000
"""Events that wait for one worker; while there are more, no other worker reads on."""

Entry = tuple[str, bytes | None]
"""A position, and the event that is stored there; None where it has been trimmed away."""


class Standing(NamedTuple):
    """What a worker's seat is worth.

    Args:
        token: its fencing token; another one than before means that what is pending for it has changed.
        surplus: so many partitions more than its share.
        partitions: those that are its own.
        lost: events that were pending for workers now gone, and that the stream no longer keeps.
    """

    token: int
    surplus: int
    partitions: frozenset[int]
    lost: int = 0


class Taken(NamedTuple):
    """What a worker was given.

    Args:
        entries: in the order of the stream.
        missed: so many events before them were dropped by the stream's retention before anybody was given them.
        held: nothing more is read until another worker has taken what waits for it.
    """

    entries: list[Entry]
    missed: int = 0
    held: bool = False


class Given(NamedTuple):
    """An event that is pending for a worker, with the number of its tries that have begun."""

    position: str
    stored: bytes | None
    tries: int


class Seat(Protocol):
    """One worker's place in its subscription's group: what it is given, and what becomes of it.

    A seat is held by a lease. The keys of events fall into partitions, each of which belongs to one seat; an event of
    a partition is given to nobody but its owner. When a lease has run out, the next worker that renews its own one
    shares out what the silent one had. Every change of what is pending for a seat changes its token, and whoever
    comes with an old token is given nothing: a worker that was away cannot go on where another has taken over.
    """

    async def create(self, start: str) -> None:
        """Makes the group where it does not exist.

        Args:
            start: as a subscription's `from` says it.
        """
        ...

    async def sit(self, release: Iterable[int]) -> Standing:
        """Takes the seat, or renews its lease; looks after those whose lease has run out.

        Args:
            release: own partitions that go to others now, with all that is pending in them.
        """
        ...

    async def take(self, token: int, done: Sequence[str], count: int, *, wait: bool = False) -> Taken | None:
        """Acknowledges handled events and takes the next ones, one such call at a time.

        Args:
            wait: for as long as there may be nothing new since the last call; it may come back empty all the same.

        Returns:
            None where the token is an old one.
        """
        ...

    def call_off(self) -> None:
        """Lets a call that waits take now what there is."""
        ...

    async def acknowledge(self, done: Sequence[str]) -> None:
        """Acknowledges handled events, while another call may wait for new ones."""
        ...

    async def mine(self, token: int) -> list[Given] | None:
        """All that is pending for this seat, in order; None where the token is an old one."""
        ...

    async def count(self, position: str, tries: int) -> bool:
        """Keeps the number of an event's tries; False where it is another worker's by now."""
        ...

    async def bury(self, entry: Entry, error: str, tries: int, *, keep: bool) -> bool:
        """Ends an event that could not be handled, and keeps it with the error among the dead letters.

        Returns:
            False where it is another worker's by now, and nothing was done.
        """
        ...

    async def leave(self, uncounted: Sequence[str]) -> None:
        """Gives the seat up; what is still pending for it goes to others.

        Args:
            uncounted: events whose last try was not begun or was broken off: it does not count.
        """
        ...

    async def lag(self) -> int | None:
        """Events that the group has not been given; None where the server cannot tell."""
        ...

    def gone(self, error: BaseException) -> bool:
        """Whether an error says that the group no longer exists."""
        ...

    async def close(self) -> None:
        """Lets go of what waits for new events; the next call begins another."""
        ...
