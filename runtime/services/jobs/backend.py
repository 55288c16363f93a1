"""What the jobs service needs of the place where jobs are kept, without knowing which it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from runtime.services.jobs.claiming import Claimer, Runner
    from runtime.services.jobs.limits import Limits
    from runtime.services.jobs.ports import Author, Duplicate, JobView


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
