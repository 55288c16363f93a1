"""The HTTP calls of queues and jobs."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_202_ACCEPTED

from runtime.errors import Invalid, NotBuilt, Pointer
from runtime.http.access import scope
from runtime.http.paging import Page
from runtime.http.ports import Port
from runtime.services.jobs.ports import Jobs, JobView, QueueView
from runtime.services.names import seconds


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
        job = await jobs.enqueue(queue, data.payload, delay=_delay(data), key=data.key)
        return JobAccepted(job.id, job.status)


class JobRoutes(Controller):
    """Single jobs."""

    path = "/v1/jobs"
    tags = ["jobs"]

    @get("/{job_id:str}", opt=scope("jobs:read"), summary="One job: status, attempts, progress, result, error")
    async def job(self, job_id: FromPath[str], jobs: Port[Jobs]) -> JobView:
        return await jobs.get(job_id)


def _delay(request: JobRequest) -> float:
    if request.delay is not None and request.run_at is not None:
        raise Invalid(
            "a job has a `delay` or a `run_at`, not both",
            errors=[Pointer("/run_at", "given beside `delay`")],
            remedy="Leave one of them out.",
        )
    if request.delay is not None:
        delay = seconds(request.delay)
        if delay is None:
            raise Invalid(
                "`delay` is no duration",
                errors=[Pointer("/delay", "a number and its unit, such as 30s, 15m or 24h")],
                remedy='Write it as "30s".',
            )
        return delay
    if request.run_at is None:
        return 0.0
    if request.run_at.tzinfo is None:
        raise Invalid(
            "`run_at` does not say in which time zone",
            errors=[Pointer("/run_at", "an offset is missing")],
            remedy="End it with Z for UTC, as in 2030-01-31T08:00:00Z.",
        )
    ahead = (request.run_at - datetime.now(UTC)).total_seconds()
    if ahead < 0:
        raise Invalid(
            "`run_at` lies in the past",
            errors=[Pointer("/run_at", "it is over already")],
            remedy="Give a time to come, or leave it out to run the job at once.",
        )
    return ahead
