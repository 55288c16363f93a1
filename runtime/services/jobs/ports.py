"""What other services and the user's own tasks may use of the job queues."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import msgspec

from runtime.health import Status
from runtime.services.ai.ports import BoundAi
from runtime.services.events.ports import Events
from runtime.services.notifications.ports import Audience, Notice, Notifications, Notified
from runtime.services.outbox.ports import Transaction
from runtime.services.sandbox.ports import Sandbox

if TYPE_CHECKING:
    from runtime.http.access import Caller

REMEMBERED: Final = 6 * 3600.0
"""Seconds for which a job's `once` is remembered."""

MOST_PRIORITY: Final = 2_000
"""Priorities run from minus this to this."""

JobStatus = Literal["scheduled", "blocked", "queued", "running", "paused", "completed", "failed", "cancelled"]

ENDED: Final[frozenset[JobStatus]] = frozenset({"completed", "failed", "cancelled"})

Duplicate = Literal["reject", "replace", "debounce", "throttle"]
"""What happens to a job whose key another unfinished one has; see `Draft`."""


class JobView(msgspec.Struct, frozen=True):
    """A job as a caller sees it. Times are UTC.

    Args:
        id: `<queue>.<unique part>`, so that a job is found by its id alone.
        status: `blocked` while it waits for its children, `paused` while it is laid aside.
        attempts: tries that were begun.
        progress: from 0 to 1.
        message: what it said last of its progress.
        due_at: when it may run, where that lies ahead.
        duplicate: in the answer to an enqueue: this is another job, which stands for the new one: `replaced` where it
            waits with the new one's payload, `throttled` where the new one was not stored.
    """

    id: str
    queue: str
    status: JobStatus
    attempts: int
    max_attempts: int
    progress: float
    result: Any
    error: str | None
    enqueued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    message: str | None = None
    due_at: datetime | None = None
    owner: str | None = None
    group: str | None = None
    children: Sequence[str] = ()
    duplicate: Literal["replaced", "throttled"] | None = None


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


class Author(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whoever has put a job in, as the API knows the caller: what its task asks models for is theirs to pay.

    Args:
        account: whose credits and budgets.
        key: the key that was shown, where it is not the account itself.
        credits: the most that the key may spend of the account's; None for all there are.
    """

    account: str
    key: str = ""
    credits: Decimal | None = None

    @classmethod
    def of(cls, caller: Caller) -> Author:
        """A caller of the API."""
        return cls(caller.account, caller.id if caller.id != caller.account else "", caller.credits)


class Draft(msgspec.Struct, frozen=True):
    """A job before it is stored.

    Args:
        payload: what the handler gets; JSON values only.
        queue: where it goes; None for the queue of the call.
        delay: how long to wait before it may run: a duration such as `"30s"`, or seconds.
        run_at: when it may run, with an offset from UTC; instead of `delay`.
        key: a name that only one unfinished job of the queue may have.
        on_duplicate: what happens where one has it; None for what the queue says. `reject` refuses the new job;
            `replace` gives its payload to the one that waits, and stores it beside one that runs; `debounce` does so
            and lets it wait `window` from now; `throttle` lets the first one of each `window` stand for the others.
        window: a duration or seconds, for `debounce` and `throttle`; None for what the queue says.
        once: a name that is given to one job of the queue and then to no other for `REMEMBERED` seconds.
        priority: lower runs first; None for what the queue says.
        marks: what it is (`person`, `premium`), each of which changes its priority by `priority_by` of the queue.
        group: whose turn it takes: groups of one priority are served in turn, however long their backlogs are.
        owner: who is told when it runs for long.
        timeout: how long one try may take; None for what the queue says.
        attempts: tries in all; None for what the queue says.
        backoff: the pause before the second try; None for what the queue says.
        children: jobs for which it waits; they may have children too.
        runs_anyway: whether it runs even when a child fails; otherwise it fails with it.
        by: who puts it in, and its children; None where it is the environment itself.
    """

    payload: Mapping[str, Any]
    queue: str | None = None
    delay: str | float | None = None
    run_at: datetime | None = None
    key: str | None = None
    on_duplicate: Duplicate | None = None
    window: str | float | None = None
    once: str | None = None
    priority: int | None = None
    marks: Sequence[str] = ()
    group: str | None = None
    owner: str | None = None
    timeout: str | float | None = None
    attempts: int | None = None
    backoff: str | float | None = None
    children: Sequence[Draft] = ()
    runs_anyway: bool = False
    by: Author | None = None


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


class JobContext(Protocol):
    """The running job, as its handler sees it: the first argument of every task."""

    @property
    def id(self) -> str: ...

    @property
    def queue(self) -> str: ...

    @property
    def attempt(self) -> int:
        """1 at the first try."""
        ...

    @property
    def attempts(self) -> int:
        """Tries in all."""
        ...

    @property
    def owner(self) -> str | None: ...

    @property
    def cancelled(self) -> bool:
        """Whether the job has been told to end; for a plain function, which nothing interrupts."""
        ...

    @property
    def saved(self) -> Any:
        """What an earlier try has stored by `save`; None where none has."""
        ...

    @property
    def by(self) -> Author | None:
        """Who has put it in, as the API knows them; None where nobody has, as with a schedule. `owner` is only what
        they say."""
        ...

    @property
    def jobs(self) -> Jobs:
        """The queues, for what goes beyond `enqueue`: jobs with options, jobs that are waited for."""
        ...

    @property
    def events(self) -> Events:
        """The event bus, for what goes beyond `publish`: keys, ids, replay."""
        ...

    @property
    def sandbox(self) -> Sandbox:
        """Runs untrusted code."""
        ...

    @property
    def ai(self) -> BoundAi:
        """Asks models: `await job.ai.chat({"model": "default", "messages": […]})`. Whoever has put the job in pays, by
        the budgets, limits and credits of their key; a job that nobody has put in names a `user`."""
        ...

    @property
    def notifications(self) -> Notifications:
        """Inboxes, receipts and settings of users; `notify` is the short way to tell them something."""
        ...

    async def notify(self, notice: Notice, to: Audience) -> Notified:
        """Tells people what happens; when it returns, it is stored. Another try of the job tells it once more, unless
        the notice has a `key`.

        Raises:
            As `Notify.notify`.
        """
        ...

    async def progress(self, fraction: float, message: str = "") -> None:
        """Tells how far the job has come, from 0 to 1."""
        ...

    async def save(self, value: Any) -> None:
        """Stores what a later try may go on from; JSON values only, 1 MB at most.

        Raises:
            Invalid: it is no JSON, or too large.
            Unreachable: Redis does not answer.
        """
        ...

    async def children(self) -> list[JobView]:
        """The jobs for which it has waited, with their results, as far as they are still kept."""
        ...

    async def enqueue(self, queue: str, payload: Mapping[str, Any], *, delay: float = 0.0) -> JobView:
        """Puts another job into a queue."""
        ...

    def announce(self, stream: str, type: str, data: Mapping[str, Any], *, key: str | None = None) -> None:  # noqa: A002
        """Publishes an event in the same step that stores this job's completion: if it completes, and once.

        Raises:
            As `Events.publish`, at once: what its stream does not take is known before.
        """
        ...

    async def publish(self, stream: str, type: str, data: Mapping[str, Any]) -> str:  # noqa: A002
        """Publishes an event; returns its id."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction of the environment's database; see `Transaction`. For `async` tasks."""
        ...


class Retry(Exception):  # noqa: N818 - an instruction, not a failure
    """Raised by a task to choose the next try.

    Args:
        after: a duration such as `"30s"`, or seconds.
        reason: what the job's record says.
    """

    def __init__(self, reason: str = "", *, after: str | float = 0.0) -> None:
        super().__init__(reason or "the task asked for another try")
        self.after = after


class Reject(Exception):  # noqa: N818 - an instruction, not a failure
    """Raised by a task whose job can never succeed: no further try is made.

    Args:
        reason: what the job's record says.
    """
