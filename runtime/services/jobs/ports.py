"""What other services and the user's own tasks may use of the job queues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

JobStatus = Literal["scheduled", "queued", "running", "completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as a caller sees it. Times are UTC; `progress` runs from 0 to 1.

    `id` is `<queue>.<unique part>`, so that a job is found by its id alone.
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


class Jobs(Protocol):
    """The job queues, for whoever puts work into them."""

    async def enqueue(
        self, queue: str, payload: Mapping[str, Any], *, delay: float = 0.0, key: str | None = None
    ) -> JobView:
        """Puts a job into a queue; when it returns, the job is stored.

        Args:
            queue: the queue's name in the spec.
            payload: what the handler gets; JSON values only.
            delay: seconds to wait before it may run.
            key: a name that only one unfinished job of the queue may have.

        Raises:
            NotFound: no such queue.
            NotBuilt: the queue's handler is not built in this version.
            Invalid: the payload does not fit the handler.
            Conflict: an unfinished job has that key.
            Unreachable: Redis does not answer.
        """
        ...

    async def get(self, job_id: str) -> JobView:
        """One job by its id.

        Raises:
            NotFound: no such job, or its result has expired.
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

    async def progress(self, fraction: float, message: str = "") -> None:
        """Tells how far the job has come, from 0 to 1."""
        ...

    async def enqueue(self, queue: str, payload: Mapping[str, Any], *, delay: float = 0.0) -> JobView:
        """Puts another job into a queue."""
        ...

    async def publish(self, stream: str, type: str, data: Mapping[str, Any]) -> str:  # noqa: A002
        """Publishes an event; returns its id."""
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
