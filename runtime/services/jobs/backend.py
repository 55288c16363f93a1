"""What the jobs service needs of the place where jobs are kept, without knowing which it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from runtime.services.events.ports import Announcement
    from runtime.services.jobs.ports import Author, Duplicate, JobView

Ending = Literal["timeout", "cancel", "pause", "stop", "drain"]
"""Why a running job is told to end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How a queue treats its jobs.

    Args:
        stalls: how often a job may be lost with a dying worker before it counts as the killer.
        lease: seconds after which a silent worker counts as dead.
        result_ttl: seconds for which a completed job is kept.
        dead_ttl: seconds for which a failed one is.
        keep: completed jobs kept at most.
        attempts: tries in all, of a job that was given no number of its own.
        priority: of a job that was given none.
        most: jobs that may run at once over all workers.
        rate: how many may begin in so many seconds, over all workers.
        group_slots: jobs of one group that may run at once, over all workers.
        group_rate: how many of one group may begin in so many seconds, over all workers.
    """

    stalls: int
    lease: float
    result_ttl: float
    dead_ttl: float
    keep: int
    attempts: int = 1
    priority: int = 0
    most: int | None = None
    rate: tuple[int, float] | None = None
    group_slots: int | None = None
    group_rate: tuple[int, float] | None = None


class NewJob(msgspec.Struct, frozen=True):
    """A job that is to be stored.

    Args:
        attempts: tries in all.
        delay: seconds until it may run.
        scheduled: when that is, seconds since the epoch; 0 for at once.
        key: what no other unfinished job of the queue may be called.
        on_duplicate: what happens where one is; see `Draft`.
        window: seconds, for `debounce` and `throttle`.
        once: what no other job of the queue may have been called in the last `once_ttl` seconds, ended or not.
        priority: lower runs first; None for that of the queue, `usual`.
        group: whose turn it takes.
        owner: who is told of it.
        by: who has put it in.
        trace: the span that has put it in, a `traceparent`; None where it is not traced.
        premium: whether the owner is given more time.
        timeout: seconds that one try may take; None for that of the queue.
        backoff: seconds before its second try; None for that of the queue.
        parent: the job that waits for it: queue, id and usual priority of that queue.
        runs_anyway: whether the parent runs even when this one fails.
        awaits: how many children it waits for.
        children: their ids.
    """

    id: str
    queue: str
    payload: Mapping[str, Any]
    attempts: int
    delay: float = 0.0
    scheduled: float = 0.0
    key: str | None = None
    on_duplicate: Duplicate = "reject"
    window: float = 0.0
    once: str | None = None
    once_ttl: float = 0.0
    usual: int = 0
    priority: int | None = None
    group: str = ""
    owner: str | None = None
    by: Author | None = None
    trace: str | None = None
    premium: bool = False
    timeout: float | None = None
    backoff: float | None = None
    parent: tuple[str, str, int] | None = None
    runs_anyway: bool = False
    awaits: int = 0
    children: Sequence[str] = ()


class Stored(msgspec.Struct, frozen=True):
    """A job after it was put in.

    Args:
        duplicate: how another job stands for it, under whose id it then is: `replaced` where that one waits with this
            one's payload, `throttled` where this one was not stored.
    """

    id: str
    job: NewJob
    duplicate: Literal["replaced", "throttled"] | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """The figures of a queue; see `QueueView`."""

    waiting: int = 0
    scheduled: int = 0
    running: int = 0
    dead: int = 0
    completed: int = 0
    failed: int = 0
    retried: int = 0
    workers: int = 0
    cancelled: int = 0
    resting: int = 0
    blocked: int = 0
    paused: bool = False


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


class Backend(Protocol):
    """The place where jobs are kept."""

    async def put(self, jobs: Sequence[NewJob]) -> list[Stored]:
        """Stores jobs, all or none; when it returns, they are there.

        Raises:
            Conflict: an unfinished job has the `key` of one of them, or a former one had its `once`.
            Unreachable: no answer.
        """
        ...

    async def get(self, queue: str, job_id: str) -> JobView | None: ...

    async def cancel(self, queue: str, job_id: str, limits: Limits) -> JobView | None:
        """Cancels a job that waits; of one that runs, tells its worker to.

        Returns:
            The job after that, also where it was cancelled before; None where there is none.

        Raises:
            Conflict: it has completed or failed.
        """
        ...

    async def dead(self, queue: str, limits: Limits, after: tuple[datetime, str] | None, most: int) -> list[JobView]:
        """Jobs that have failed for good, the newest first, after the one of that `finished_at` and id."""
        ...

    async def oldest_dead(self, queue: str, limits: Limits, most: int) -> list[str]:
        """The ids of jobs that have failed for good, the oldest first."""
        ...

    async def replay(self, queue: str, limits: Limits, ids: Sequence[str]) -> dict[str, str]:
        """Puts failed jobs back, to start again with no try made; each whole or not at all.

        Returns:
            The jobs that were left as they are: id -> why.
        """
        ...

    async def pause(self, queue: str, paused: bool) -> None:
        """Whether all workers leave the waiting jobs of a queue where they are, from now on."""
        ...

    async def rest(self, queue: str, job_id: str) -> bool:
        """Lays one job aside; of one that runs, tells its worker to.

        Returns:
            False where it neither waits nor runs.
        """
        ...

    async def wake(self, queue: str, job_id: str, limits: Limits) -> bool:
        """Lets a job that was laid aside wait again; False where it was not."""
        ...

    async def counts(self, queue: str, limits: Limits) -> Counts: ...

    async def admit(self, queue: str, rate: tuple[int, float], most: int) -> int:
        """Counts what a running job does as further starts, as far as a rate allows; returns how many it allowed."""
        ...

    def claimer(self, queue: str, limits: Limits, concurrency: int, runner: Runner) -> Claimer: ...
