"""The HTTP calls of queues and jobs."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from runtime.errors import Invalid, NotBuilt, Pointer
from runtime.http.access import scope
from runtime.http.paging import After, Limit, Page, cursor, position
from runtime.http.ports import Port
from runtime.services.jobs.ports import Draft, Jobs, JobView, QueueView, Replayed
from runtime.services.jobs.times import ahead


class JobEntry(msgspec.Struct, forbid_unknown_fields=True):
    """A job of a batch.

    Args:
        payload: what the queue's task gets.
        delay: how long to wait before it may run, `"30s"`.
        run_at: when it may run, with an offset from UTC; instead of `delay`.
        key: a name that only one unfinished job of the queue may have.
    """

    payload: dict[str, Any] = {}
    delay: str | None = None
    run_at: datetime | None = None
    key: str | None = None


class JobBatch(msgspec.Struct, forbid_unknown_fields=True):
    """Jobs to be stored, all or none; at most 1,000."""

    jobs: list[JobEntry]


class JobRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A job to be stored.

    Args:
        payload: what the queue's task gets.
        delay: how long to wait before it may run, `"30s"`.
        run_at: when it may run, with an offset from UTC; instead of `delay`.
        key: a name that only one unfinished job of the queue may have.
        priority: not built.
        timeout: not built.
        retry: not built.
    """

    payload: dict[str, Any] = {}
    delay: str | None = None
    run_at: datetime | None = None
    key: str | None = None
    priority: int | None = None
    timeout: str | None = None
    retry: dict[str, Any] | None = None


class JobAccepted(msgspec.Struct):
    """A job that has been stored: its id and its status."""

    id: str
    status: str


class JobsAccepted(msgspec.Struct):
    """Jobs that have been stored, in the order of the request."""

    items: list[JobAccepted]


class ReplayRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Which dead jobs are to be replayed.

    Args:
        ids: at most 1,000; without them the oldest ones.
    """

    ids: list[str] | None = None


class QueueRoutes(Controller):
    """Queues, and putting jobs into them."""

    path = "/v1/queues"
    tags = ["queues"]

    @get("/", opt=scope("jobs:read"), summary="Every queue with its figures")
    async def queues(self, jobs: Port[Jobs]) -> Page[QueueView]:
        return Page(await jobs.queues())

    @get("/{queue:str}", opt=scope("jobs:read"), summary="One queue with its figures")
    async def queue(self, queue: FromPath[str], jobs: Port[Jobs]) -> QueueView:
        return await jobs.queue(queue)

    @post(
        "/{queue:str}/jobs",
        opt=scope("jobs:write"),
        status_code=HTTP_202_ACCEPTED,
        summary="Put a job into a queue",
    )
    async def enqueue(self, queue: FromPath[str], data: JSONBody[JobRequest], jobs: Port[Jobs]) -> JobAccepted:
        for name in ("priority", "timeout", "retry"):
            if getattr(data, name) is not None:
                raise NotBuilt(f"`{name}` of a single job")
        job = await jobs.enqueue(queue, data.payload, delay=ahead(data.delay, data.run_at), key=data.key)
        return JobAccepted(job.id, job.status)

    @post(
        "/{queue:str}/jobs/batch",
        opt=scope("jobs:write"),
        status_code=HTTP_202_ACCEPTED,
        summary="Put up to 1,000 jobs into a queue, all or none",
    )
    async def enqueue_all(self, queue: FromPath[str], data: JSONBody[JobBatch], jobs: Port[Jobs]) -> JobsAccepted:
        drafts = [Draft(entry.payload, entry.delay, entry.run_at, entry.key) for entry in data.jobs]
        return JobsAccepted([JobAccepted(job.id, job.status) for job in await jobs.enqueue_all(queue, drafts)])

    @post(
        "/{queue:str}/pause",
        opt=scope("jobs:write"),
        status_code=HTTP_200_OK,
        summary="Let the workers of a queue begin no further jobs; those that run go on",
    )
    async def pause(self, queue: FromPath[str], jobs: Port[Jobs]) -> QueueView:
        return await jobs.pause(queue)

    @post(
        "/{queue:str}/resume",
        opt=scope("jobs:write"),
        status_code=HTTP_200_OK,
        summary="Let the workers of a paused queue begin jobs again",
    )
    async def resume(self, queue: FromPath[str], jobs: Port[Jobs]) -> QueueView:
        return await jobs.resume(queue)

    @get("/{queue:str}/dead", opt=scope("jobs:read"), summary="Jobs that have failed for good, newest first")
    async def dead(
        self, queue: FromPath[str], jobs: Port[Jobs], limit: Limit = 50, after: After = None
    ) -> Page[JobView]:
        found = await jobs.dead(queue, after=_position(after) if after else None, limit=limit + 1)
        shown = found[:limit]
        last = shown[-1] if len(found) > limit else None
        return Page(shown, cursor("dead", [_text(last.finished_at), last.id]) if last else None)

    @post(
        "/{queue:str}/dead/replay",
        opt=scope("jobs:write"),
        status_code=HTTP_202_ACCEPTED,
        summary="Put dead jobs back into their queue, with no try made",
    )
    async def replay(self, queue: FromPath[str], data: JSONBody[ReplayRequest], jobs: Port[Jobs]) -> Replayed:
        return await jobs.replay(queue, data.ids)


class JobRoutes(Controller):
    """Single jobs."""

    path = "/v1/jobs"
    tags = ["jobs"]

    @get("/{job_id:str}", opt=scope("jobs:read"), summary="One job: status, attempts, progress, result, error")
    async def job(self, job_id: FromPath[str], jobs: Port[Jobs]) -> JobView:
        return await jobs.get(job_id)

    @post(
        "/{job_id:str}/retry",
        opt=scope("jobs:write"),
        status_code=HTTP_202_ACCEPTED,
        summary="Put a failed job back into its queue, with no try made",
    )
    async def retry(self, job_id: FromPath[str], jobs: Port[Jobs]) -> JobAccepted:
        job = await jobs.retry(job_id)
        return JobAccepted(job.id, job.status)

    @post(
        "/{job_id:str}/cancel",
        opt=scope("jobs:write"),
        status_code=HTTP_202_ACCEPTED,
        summary="Cancel a job: at once where it waits, within about a second where it runs",
    )
    async def cancel(self, job_id: FromPath[str], jobs: Port[Jobs]) -> JobAccepted:
        job = await jobs.cancel(job_id)
        return JobAccepted(job.id, job.status)


def _text(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""


def _position(after: str) -> tuple[datetime, str]:
    """Where a page of dead jobs begins.

    Raises:
        Invalid: this is not a cursor of that list.
    """
    try:
        moment, job_id = position("dead", after)
        return datetime.fromisoformat(moment).astimezone(UTC), str(job_id)
    except (TypeError, ValueError, OverflowError) as error:
        raise Invalid(
            "`after` is not a cursor of this list",
            errors=[Pointer("?after", "pass the `next` of an earlier answer as it is")],
            remedy="Begin again without `after`.",
        ) from error
