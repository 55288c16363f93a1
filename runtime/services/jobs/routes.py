"""The HTTP calls of queues and jobs."""

from datetime import UTC, datetime

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from runtime.errors import Invalid, Pointer
from runtime.http.access import Caller, scope
from runtime.http.audit import audited
from runtime.http.paging import After, Limit, Page, cursor, position
from runtime.http.ports import Port
from runtime.http.sse import EventStream, ServerEvent
from runtime.services.jobs.bodies import JobAccepted, JobBatch, JobRequest, JobsAccepted
from runtime.services.jobs.ports import Author, Jobs, JobView, QueueView, Replayed


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
    async def enqueue(
        self, queue: FromPath[str], data: JSONBody[JobRequest], jobs: Port[Jobs], caller: Port[Caller]
    ) -> JobAccepted:
        return _accepted(await jobs.submit(_own(queue, data), data.draft(Author.of(caller))))

    @post(
        "/{queue:str}/jobs/batch",
        opt=scope("jobs:write"),
        status_code=HTTP_202_ACCEPTED,
        summary="Put up to 1,000 jobs into a queue, all or none",
    )
    async def enqueue_all(
        self, queue: FromPath[str], data: JSONBody[JobBatch], jobs: Port[Jobs], caller: Port[Caller]
    ) -> JobsAccepted:
        for place, entry in enumerate(data.jobs):
            _own(queue, entry, f"/jobs/{place}")
        by = Author.of(caller)
        drafts = [entry.draft(by) for entry in data.jobs]
        return JobsAccepted([_accepted(job) for job in await jobs.enqueue_all(queue, drafts)])

    @post(
        "/{queue:str}/pause",
        opt={**scope("jobs:write"), **audited("queue.pause", "queue:{queue}")},
        status_code=HTTP_200_OK,
        summary="Let the workers of a queue begin no further jobs; those that run go on",
    )
    async def pause(self, queue: FromPath[str], jobs: Port[Jobs]) -> QueueView:
        return await jobs.pause(queue)

    @post(
        "/{queue:str}/resume",
        opt={**scope("jobs:write"), **audited("queue.resume", "queue:{queue}")},
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
        opt={**scope("jobs:write"), **audited("queue.replay", "queue:{queue}", "ids")},
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

    @get("/{job_id:str}/watch", opt=scope("jobs:read"), summary="Follow a job by Server-Sent Events until it has ended")
    async def watch(self, job_id: FromPath[str], jobs: Port[Jobs]) -> EventStream:
        await jobs.get(job_id)  # what is not there is refused before the stream begins
        return EventStream(jobs.follow(job_id), lambda job: ServerEvent(None, job.status, job))

    @post(
        "/{job_id:str}/retry",
        opt=scope("jobs:write"),
        status_code=HTTP_202_ACCEPTED,
        summary="Put a failed job back into its queue, with no try made",
    )
    async def retry(self, job_id: FromPath[str], jobs: Port[Jobs]) -> JobAccepted:
        return _accepted(await jobs.retry(job_id))

    @post(
        "/{job_id:str}/cancel",
        opt=scope("jobs:write"),
        status_code=HTTP_202_ACCEPTED,
        summary="Cancel a job: at once where it waits, within about a second where it runs",
    )
    async def cancel(self, job_id: FromPath[str], jobs: Port[Jobs]) -> JobAccepted:
        return _accepted(await jobs.cancel(job_id))

    @post(
        "/{job_id:str}/pause",
        opt=scope("jobs:write"),
        status_code=HTTP_202_ACCEPTED,
        summary="Lay a job aside: at once where it waits, within about a second where it runs",
    )
    async def pause(self, job_id: FromPath[str], jobs: Port[Jobs]) -> JobAccepted:
        return _accepted(await jobs.rest(job_id))

    @post(
        "/{job_id:str}/resume",
        opt=scope("jobs:write"),
        status_code=HTTP_202_ACCEPTED,
        summary="Let a paused job wait in its queue again",
    )
    async def resume(self, job_id: FromPath[str], jobs: Port[Jobs]) -> JobAccepted:
        return _accepted(await jobs.wake(job_id))


def _accepted(job: JobView) -> JobAccepted:
    return JobAccepted(job.id, job.status, job.duplicate)


def _own(queue: str, data: JobRequest, at: str = "") -> str:
    """The queue of a path.

    Raises:
        Invalid: the body names another one.
    """
    if data.queue not in (None, queue):
        raise Invalid(
            f'the body names the queue "{data.queue[:100]}", the path "{queue}"',
            errors=[Pointer(f"{at}/queue", f'"{queue}", or nothing')],
            remedy="Leave it out; only children name queues of their own.",
        )
    return queue


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
