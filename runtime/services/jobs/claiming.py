"""How jobs are taken from the place where they are kept, run, and handed back: who claims them and who runs them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Mapping, Sequence

    from runtime.services.events.ports import Announcement
    from runtime.services.jobs.limits import Limits
    from runtime.services.jobs.ports import Author

Ending = Literal["timeout", "cancel", "pause", "stop", "drain"]
"""Why a running job is told to end."""


class Claimed(Protocol):
    """A job that a worker holds and is about to run."""

    @property
    def id(self) -> str: ...

    @property
    def queue(self) -> str: ...

    @property
    def payload(self) -> Mapping[str, Any]: ...

    @property
    def attempt(self) -> int:
        """1 at the first try."""
        ...

    @property
    def attempts(self) -> int:
        """Tries in all."""
        ...

    @property
    def timeout(self) -> float | None:
        """Seconds that this try may take; None for as long as the queue says."""
        ...

    @property
    def backoff(self) -> float | None:
        """Seconds before its second try; None for as long as the queue says."""
        ...

    @property
    def owner(self) -> str | None: ...

    @property
    def by(self) -> Author | None:
        """Who has put it in."""
        ...

    @property
    def trace(self) -> str | None:
        """The span that has put it in, a `traceparent`."""
        ...

    @property
    def premium(self) -> bool:
        """Whether its owner is given more time."""
        ...

    @property
    def paused_before(self) -> bool:
        """Whether an earlier try was paused because the job ran long."""
        ...

    @property
    def told(self) -> bool:
        """Whether it has been told to end."""
        ...

    @property
    def loop(self) -> AbstractEventLoop:
        """Where it runs."""
        ...

    @property
    def children(self) -> Sequence[str]:
        """The jobs that it has waited for."""
        ...

    @property
    def saved(self) -> Any:
        """What an earlier try has stored with `save`."""
        ...

    async def tell(self, fraction: float, message: str) -> None:
        """Stores how far it has come, from 0 to 1, and what it says of that."""
        ...

    async def save(self, value: Any) -> None:
        """Stores what a later try may go on from; JSON values only."""
        ...

    def settle(self, outcome: Outcome) -> None:
        """Says what the try came to. The first word counts; it is stored soon after, for certain."""
        ...


class Outcome(msgspec.Struct, frozen=True):
    """What one try of a job came to.

    Args:
        status: `retry` puts it back for another try, `back` does so without counting this one, `paused` lays it
            aside without counting it; the others are for good.
        result: JSON values, of a completed one.
        error: one sentence, of the others.
        delay: seconds until the next try.
        announced: events that are published in the same step that stores it.
        ran_long: of a paused one, whether it was paused because it ran long.
    """

    status: Literal["completed", "retry", "failed", "cancelled", "back", "paused"]
    result: Any = None
    error: str | None = None
    delay: float = 0.0
    announced: Sequence[Announcement] = ()
    ran_long: bool = False


class Runner(Protocol):
    """Runs the jobs that a claimer hands over."""

    def start(self, claimed: Claimed) -> None:
        """Begins a try; it ends with `claimed.settle`. Returns at once."""
        ...

    def end(self, claimed: Claimed, ending: Ending) -> None:
        """Tells a try to end; nothing happens where it has ended, or has been told before."""
        ...


@dataclass(slots=True)
class Activity:
    """What a claiming loop is doing, for health.

    Args:
        running: jobs that it runs now.
        away: why the place where jobs are kept does not answer; None while it does.
        returned: jobs that it took over from dead workers.
        counts: tries by their outcome.
    """

    running: int = 0
    away: str | None = None
    returned: int = 0
    counts: dict[str, int] = field(default_factory=dict)


class Claimer(Protocol):
    """Takes jobs of one queue and runs them."""

    activity: Activity

    async def begin(self) -> None:
        """Starts to claim; returns at once."""
        ...

    async def watch(self) -> None:
        """Runs until `end`; raises what ended the loop otherwise."""
        ...

    async def end(self, drain: float) -> None:
        """Claims no more, gives running jobs so many seconds, and puts the rest back without spending a try."""
        ...

    def resize(self, concurrency: int, limits: Limits) -> None:
        """Changes how many jobs run at once, and how they are treated; those over the new number are left to end."""
        ...
