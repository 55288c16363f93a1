"""What the jobs service needs of the place where jobs are kept, without knowing which it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from runtime.services.jobs.ports import JobView


@dataclass(frozen=True, slots=True)
class Limits:
    """How a queue treats its jobs.

    Args:
        attempts: tries in all.
        stalls: how often a job may be lost with a dying worker before it counts as the killer.
        lease: seconds after which a silent worker counts as dead.
        result_ttl: seconds for which a completed job is kept.
        dead_ttl: seconds for which a failed one is.
        keep: completed jobs kept at most.
    """

    attempts: int
    stalls: int
    lease: float
    result_ttl: float
    dead_ttl: float
    keep: int


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that is to be stored.

    Args:
        scheduled: when it may run, seconds since the epoch; 0 for at once.
        key: what no other unfinished job of the queue may be called.
        once: what no other job of the queue may have been called in the last `once_ttl` seconds, ended or not.
    """

    id: str
    queue: str
    payload: Mapping[str, Any]
    limits: Limits
    scheduled: float = 0.0
    key: str | None = None
    once: str | None = None
    once_ttl: float = 0.0


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
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that a worker holds and is about to run.

    Args:
        attempt: 1 at the first try.
        attempts: tries in all.
        tell: stores how far it has come, from 0 to 1, and what it says of that.
    """

    id: str
    queue: str
    payload: Mapping[str, Any]
    attempt: int
    attempts: int
    tell: Callable[[float, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one try of a job came to.

    Args:
        status: `retry` puts it back for another try, `failed` and `cancelled` are for good.
        result: JSON values, of a completed one.
        error: one sentence, of the others.
        delay: seconds until the next try.
    """

    status: Literal["completed", "retry", "failed", "cancelled"]
    result: Any = None
    error: str | None = None
    delay: float = 0.0


Run = Callable[[Claimed], Awaitable[Outcome]]


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

    def resize(self, concurrency: int) -> None:
        """Changes how many jobs run at once; those over the new number are left to end."""
        ...


class Backend(Protocol):
    """The place where jobs are kept."""

    async def put(self, jobs: Sequence[NewJob]) -> list[JobView]:
        """Stores jobs of one queue, all or none; when it returns, they are there.

        Raises:
            Conflict: an unfinished job has the `key` of one of them, or a former one had its `once`.
            Unreachable: no answer.
        """
        ...

    async def get(self, queue: str, job_id: str) -> JobView | None: ...

    async def cancel(self, queue: str, job_id: str, limits: Limits) -> JobView | None:
        """Cancels a job that waits; of one that runs, tells its worker to.

        Returns:
            The job after that; None where there is none.

        Raises:
            Conflict: it has ended.
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
        """Whether all workers leave the waiting jobs of a queue where they are; they see it within a second."""
        ...

    async def counts(self, queue: str, limits: Limits) -> Counts: ...

    def claimer(self, queue: str, limits: Limits, concurrency: int, run: Run) -> Claimer: ...
