"""What the event bus needs of the place where streams are kept, without knowing which it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runtime.services.events.ports import Announcement, DeadEvent, Event

BATCH: Final = 100
"""Events that a worker takes at once."""
MOST_AHEAD: Final = 1_000
"""Events that wait for one worker; while there are more, no other worker reads on."""
DEAD_LENGTH: Final = 10_000
"""Dead letters that are kept of a subscription, the newest."""
LONGEST_ERROR: Final = 2_000

Entry = tuple[str, bytes | None]
"""A position, and the event that is stored there; None where it has been trimmed away."""


class Draft(Struct, frozen=True):
    """An event that is to be stored.

    Args:
        event: without its position, which it gets when it is stored.
        once: its id is the publisher's own.
        data: the event's data as JSON, where it is known already.
    """

    event: Event
    once: bool
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of a stream is kept: about so many events, and none older than so many seconds."""

    max_length: int
    max_age: float


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """A subscription's group in numbers, over all of its workers.

    Args:
        lag: events that it has not been given; None where the server cannot tell.
        pending: events that its workers have in hand.
        dead: dead letters.
        workers: seats that are taken.
        given: events that it has ever been given; None where the server cannot tell.
    """

    lag: int | None = 0
    pending: int = 0
    dead: int = 0
    workers: int = 0
    given: int | None = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """A stream in numbers.

    Args:
        length: events that it holds.
        first: the position of the oldest; None in an empty one.
        last: the position of the newest that it ever had.
        added: events that it ever had.
        groups: of the subscriptions that were asked for, by name.
    """

    length: int = 0
    first: str | None = None
    last: str = "0-0"
    added: int = 0
    groups: Mapping[str, GroupFigures] = field(default_factory=dict)


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
        missed: events that the stream dropped before they were given to anybody.
        away: why the server does not answer; None while it does.
    """

    running: int = 0
    handled: int = 0
    failed: int = 0
    dead: int = 0
    missed: int = 0
    away: str | None = None


@dataclass(frozen=True, slots=True)
class Handler:
    """What becomes of each event of a subscription.

    Args:
        function: the subscriber, async or plain.
        limit: seconds that one try may take; None for no limit.
        wants: whether an event is for this subscription at all.
        told: the sentence in which a failed try goes to the dead letters and the log.
    """

    function: Callable[[Event], Any]
    limit: float | None = None
    wants: Callable[[Event], bool] | None = None
    told: Callable[[Event, BaseException], str] = lambda _, error: f"{type(error).__name__}: {error}"


class Consumer(Protocol):
    """Takes the events of one subscription and handles them."""

    @property
    def activity(self) -> Activity: ...

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


class Backend(Protocol):
    """The place where streams are kept."""

    async def append(self, stream: str, drafts: Sequence[Draft], retention: Retention) -> list[Event]:
        """Stores events one after another, all or none, and returns them with their positions.

        Where the stream has got an event of a publisher's own id in the last 24 hours, that one is returned instead
        and nothing is stored for it.
        """
        ...

    def entry(self, stream: str, draft: Draft, retention: Retention) -> Announcement | None:
        """What somebody else may store at the same server; None where there is none."""
        ...

    async def read(self, stream: str, after: str, limit: int) -> list[Event]: ...

    async def sweep(self, stream: str, max_age: float) -> int:
        """Drops what is older than so many seconds; returns how many events."""
        ...

    async def figures(self, stream: str, groups: Sequence[str] = ()) -> Figures: ...

    def notify(self, stream: str, after: str, call: Callable[[], None]) -> None:
        """Calls once when a stream has grown beyond a position."""
        ...

    def consumer(self, name: str, stream: str, terms: Terms, handler: Handler) -> Consumer: ...

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
