"""What the event bus needs of the place where streams are kept, without knowing which it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from runtime.services.events.ports import Event


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


class Backend(Protocol):
    """The place where streams are kept."""

    async def append(self, event: Event, retention: Retention, *, once: bool) -> Event:
        """Stores an event and returns it with its position.

        Args:
            once: its id is the publisher's own: where the stream has got one of that id in the last 24 hours, that
                one is returned and nothing is stored.
        """
        ...

    async def read(self, stream: str, after: str, limit: int) -> list[Event]: ...

    async def figures(self, stream: str) -> Figures: ...

    def follow(self, stream: str, after: str) -> AsyncIterator[Event]: ...

    def consumer(self, name: str, stream: str, terms: Terms, handle: Handle) -> Consumer: ...

    async def close(self) -> None: ...
