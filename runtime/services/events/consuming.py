"""How the events of a subscription are taken and handled: by whom, on which terms, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.services.events.ports import Event


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
