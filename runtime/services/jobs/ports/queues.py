"""The job queues, for whoever puts work into them or looks after them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from runtime.health import Status
from runtime.services.jobs.ports.job import Draft, JobView


@dataclass(frozen=True, slots=True)
class QueueView:
    """A queue as a caller sees it.

    Args:
        name: its name in the spec.
        handler: the name of the task that runs its jobs.
        built: whether this version has that task; where not, the queue takes no jobs.
        waiting: jobs that may run now.
        scheduled: jobs whose time has not come: delayed ones, and failed ones before their next try.
        running: jobs that workers hold.
        dead: jobs that have failed for good and are still kept.
        completed: jobs that have succeeded since the queue exists.
        failed: jobs that have failed for good since the queue exists.
        retried: tries that failed and were not the last, since the queue exists.
        workers: worker processes that are alive.
        cancelled: jobs that have been cancelled since the queue exists.
        resting: jobs that were paused one by one.
        blocked: jobs that wait for their children.
        paused: whether its workers begin no jobs.
        concurrency: how many jobs a worker runs at once; where the spec gives bounds, the upper one, over all workers.
        rate: jobs that may begin in a unit of time, over all workers, `30/m`.
        health: `operational`, `degraded` or `down` by the thresholds of the spec.
        reason: why, where it is not operational.
    """

    name: str
    handler: str
    built: bool
    concurrency: int
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
    rate: str | None = None
    health: Status = "operational"
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A job that was left as it is, and why."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay of dead jobs came to.

    Args:
        replayed: how many wait in the queue again.
        refused: jobs that were left as they are.
        left: jobs of the queue that are dead after it.
    """

    replayed: int
    refused: list[Refusal]
    left: int


class Jobs(Protocol):
    """The job queues, for whoever puts work into them."""

    async def enqueue(
        self,
        queue: str,
        payload: Mapping[str, Any],
        *,
        delay: float = 0.0,
        key: str | None = None,
        once: str | None = None,
    ) -> JobView:
        """Puts a job into a queue; when it returns, the job is stored.

        Args:
            queue: the queue's name in the spec.
            payload: what the handler gets; JSON values only.
            delay: seconds to wait before it may run.
            key: a name that only one unfinished job of the queue may have.
            once: a name that is given to one job of the queue and then to no other for `REMEMBERED` seconds, even when
                that one has ended. It is taken in the same step that stores the job: there is never one without the
                other.

        Raises:
            NotFound: no such queue.
            NotBuilt: the queue's handler is not built in this version.
            Invalid: the payload does not fit the handler.
            TooLarge: the payload is over 1 MB as JSON.
            Conflict: an unfinished job has that `key`, or a job has had that `once`.
            Unreachable: Redis does not answer.
        """
        ...

    async def submit(self, queue: str, draft: Draft) -> JobView:
        """Puts a job with all its options into a queue, and its children into theirs: all of them, or none.

        Returns:
            The job; where another one stands for it, that one, with `duplicate`.

        Raises:
            As `enqueue`.
        """
        ...

    async def enqueue_all(self, queue: str, drafts: Sequence[Draft]) -> list[JobView]:
        """Puts jobs into a queue, all or none; when it returns, they are stored, in this order.

        Raises:
            NotFound: no such queue.
            NotBuilt: the queue's handler is not built in this version.
            Invalid: some of them are wrong; with a pointer to each wrong place, `/jobs/3/payload/width`.
            TooLarge: a payload is over 1 MB as JSON.
            Conflict: an unfinished job has the key of one of them.
            Unreachable: Redis does not answer.
        """
        ...

    async def get(self, job_id: str) -> JobView:
        """One job by its id.

        Raises:
            NotFound: no such job, or its result has expired.
        """
        ...

    def follow(self, job_id: str) -> AsyncIterator[JobView]:
        """A job, each time that it has changed, until it has ended.

        Raises:
            NotFound: no such job; while it is watched: it is no longer kept.
        """
        ...

    async def dead(self, queue: str, *, after: tuple[datetime, str] | None = None, limit: int = 50) -> list[JobView]:
        """Jobs that have failed for good and are still kept, the newest first.

        Args:
            queue: the queue's name in the spec.
            after: the `finished_at` and the id of the last job of the page before.
            limit: how many at most.

        Raises:
            NotFound: no such queue.
        """
        ...

    async def replay(self, queue: str, ids: Sequence[str] | None = None) -> Replayed:
        """Puts dead jobs back into their queue, each under its own id and with no try made.

        Args:
            queue: the queue's name in the spec.
            ids: which; without them the oldest ones, at most 1,000.

        Raises:
            NotFound: no such queue.
            NotBuilt: the queue's handler is not built in this version.
            Invalid: more than 1,000 ids.
        """
        ...

    async def retry(self, job_id: str) -> JobView:
        """Puts one failed job back into its queue, with no try made.

        Raises:
            NotFound: no such job.
            NotBuilt: the queue's handler is not built in this version.
            Conflict: it has not failed, or an unfinished job has its key.
        """
        ...

    async def cancel(self, job_id: str) -> JobView:
        """Cancels a job: one that waits at once, one that runs as soon as its worker has seen it, in about a second.

        The handler of a running job gets a cancellation, and no further try is made; a job that completes before
        that has completed. A plain function cannot be ended: its thread goes on, and its outcome is dropped. One that
        is cancelled already stays so: the call may be sent again.

        Returns:
            The job, `cancelled` or still `running`.

        Raises:
            NotFound: no such job.
            Conflict: it has completed or failed.
        """
        ...

    async def rest(self, job_id: str) -> JobView:
        """Lays one job aside until `wake`: one that waits at once, one that runs within about a second.

        The handler of a running job gets a cancellation; it starts anew later, with what it has stored by `save`, and
        the try does not count.

        Raises:
            NotFound: no such job.
            Conflict: it has ended, or waits for its children.
        """
        ...

    async def wake(self, job_id: str) -> JobView:
        """Lets a job that was laid aside wait in its queue again; one that was not is left as it is.

        Raises:
            NotFound: no such job.
            Conflict: it has ended.
        """
        ...

    async def pause(self, queue: str) -> QueueView:
        """Lets the workers of a queue, wherever they run, begin no further jobs, from now on.

        Jobs that run go on, and jobs can still be put in. The queue stays paused over restarts.

        Raises:
            NotFound: no such queue.
        """
        ...

    async def resume(self, queue: str) -> QueueView:
        """Lets the workers of a queue begin jobs again.

        Raises:
            NotFound: no such queue.
        """
        ...

    async def admit(self, queue: str, most: int) -> int:
        """Lets a running job of a queue count for more than one under the queue's rate, as one that carries several
        messages does; all of it where the queue has no rate.

        Args:
            most: how many more it would like to do now.

        Returns:
            How many more it may do now; they are counted. The others are for another job.

        Raises:
            NotFound: no such queue.
            Unreachable: Redis does not answer.
        """
        ...

    async def queues(self) -> list[QueueView]:
        """Every queue, in the spec's order."""
        ...

    async def queue(self, name: str) -> QueueView:
        """One queue.

        Raises:
            NotFound: no such queue.
        """
        ...
