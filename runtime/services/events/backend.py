"""What the event bus needs of the place where streams are kept, without knowing which it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runtime.services.events.consuming import Consumer, Handler, Terms
    from runtime.services.events.ports import Announcement, DeadEvent, Event

DEAD_LENGTH: Final = 10_000
"""Dead letters that are kept of a subscription, the newest."""
LONGEST_ERROR: Final = 2_000


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
