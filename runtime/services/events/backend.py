"""What the event bus needs of the place where streams are kept, without knowing which it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from runtime.services.events.ports import DeadEvent, Event

BATCH: Final = 30
"""Events that a worker takes at once."""
LONGEST_WAIT: Final = 5.0
"""The longest that a worker waits for a new event before it looks after the others' as well."""
DEAD_LENGTH: Final = 10_000
"""Dead letters that are kept of a subscription, the newest."""
LONGEST_ERROR: Final = 2_000

Entry = tuple[str, dict[bytes, bytes] | None]
"""A position, and the fields there; None where they have been trimmed away."""


class Draft(NamedTuple):
    """An event that is to be stored.

    Args:
        event: without its position.
        once: its id is the publisher's own.
    """

    event: Event
    once: bool


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of a stream is kept: about so many events, and none older than so many seconds."""

    max_length: int
    max_age: float


@dataclass(frozen=True, slots=True)
class Figures:
    """A stream in numbers.

    Args:
        length: events that it holds.
        first: the position of the oldest; None in an empty one.
        last: the position of the newest that it ever had.
    """

    length: int = 0
    first: str | None = None
    last: str = "0-0"


@dataclass(frozen=True, slots=True)
class Terms:
    """How a subscription is served.

    Args:
        start: where a new one begins: `new`, `beginning`, a position or a time.
        concurrency: events handled at once.
        attempts: tries in all.
        pause: seconds between a failed try, by its number, and the next one.
        reclaim: seconds without a sign of life after which another worker's events are taken over.
        dead_letter: whether events whose last try failed are kept.
        key_order: whether events of one key are handled one after another, by one worker.
    """

    start: str
    concurrency: int
    attempts: int
    pause: Callable[[int], float]
    reclaim: float
    dead_letter: bool
    key_order: bool


@dataclass(slots=True)
class Activity:
    """What a subscription is doing, for health.

    Args:
        running: events that it handles now.
        handled: events whose handler has returned.
        failed: tries that failed.
        dead: events whose last try failed.
        away: why the server does not answer; None while it does.
    """

    running: int = 0
    handled: int = 0
    failed: int = 0
    dead: int = 0
    away: str | None = None


Handle = Callable[[Event], Awaitable[str | None]]
"""Makes one try of an event: None when it is done, else what went wrong."""


class Consumer(Protocol):
    """Takes the events of one subscription and handles them."""

    activity: Activity

    async def begin(self) -> None:
        """Starts to read; returns when the subscription exists."""
        ...

    async def watch(self) -> None:
        """Runs until `end`; raises what ended the loop otherwise."""
        ...

    async def end(self, drain: float) -> None:
        """Reads no more and gives handlers so many seconds; what is left comes again to the next reader."""
        ...

    def resize(self, concurrency: int) -> None: ...

    async def lag(self) -> int | None:
        """Events that it has not been given yet; None where the server cannot tell."""
        ...


class Pending(Protocol):
    """One worker's view of its subscription's group: what it is given, and what becomes of it."""

    async def create(self, start: str) -> None:
        """Makes the group where it does not exist.

        Args:
            start: as a subscription's `from` says it.
        """
        ...

    async def new(self, count: int, wait: float) -> list[Entry]:
        """Takes events that nobody has been given; waits so many seconds for the first."""
        ...

    async def mine(self, after: str) -> list[Entry]:
        """What is pending for this worker after a position; each counts as given once more."""
        ...

    async def abandoned(self, idle: float, count: int) -> list[Entry]:
        """Takes what has been pending without a sign of life for so many seconds."""
        ...

    async def inherit(self) -> int:
        """Takes over all that is pending for workers that are gone for certain; returns how many events."""
        ...

    async def forget(self) -> None:
        """Takes leave of the group, unless something is still pending for this worker."""
        ...

    async def tries(self, position: str) -> int:
        """How often an event has been given to a worker, this time included."""
        ...

    async def count(self, position: str, tries: int, *, idle: float = 0.0) -> None:
        """Keeps the number of an event's tries, and how many seconds ago it last showed a sign of life."""
        ...

    async def renew(self, positions: Iterable[str]) -> None:
        """A sign of life for events in hand."""
        ...

    async def acknowledge(self, position: str) -> None:
        """The event is handled."""
        ...

    async def bury(self, entry: Entry, error: str, tries: int, *, keep: bool) -> None:
        """Ends an event that could not be handled, and keeps it with the error among the dead letters."""
        ...

    async def lag(self) -> int | None:
        """Events that the group has not been given; None where the server cannot tell."""
        ...

    def gone(self, error: BaseException) -> bool:
        """Whether an error says that the group no longer exists."""
        ...

    async def close(self) -> None:
        """Ends what waits for new events; the next call begins another."""
        ...


class Backend(Protocol):
    """The place where streams are kept."""

    async def append(self, stream: str, drafts: Sequence[Draft], retention: Retention) -> list[Event]:
        """Stores events one after another, all or none, and returns them with their positions.

        Where the stream has got an event of a publisher's own id in the last 24 hours, that one is returned instead
        and nothing is stored for it.
        """
        ...

    async def read(self, stream: str, after: str, limit: int) -> list[Event]: ...

    async def figures(self, stream: str) -> Figures: ...

    def follow(self, stream: str, after: str) -> AsyncIterator[Event]: ...

    def consumer(self, name: str, stream: str, terms: Terms, handle: Handle) -> Consumer: ...

    async def dead(self, stream: str, subscription: str, after: str, limit: int) -> list[DeadEvent]:
        """Dead letters of a subscription, oldest first.

        Args:
            after: the `letter` before the first one that is wanted; `0` for none.
        """
        ...

    async def replay(self, stream: str, subscription: str, letters: list[str]) -> list[str]:
        """Makes the events of dead letters pending again; returns the letters of those that the stream still had."""
        ...

    async def close(self) -> None: ...
