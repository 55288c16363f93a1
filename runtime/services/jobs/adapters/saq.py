"""Jobs in Redis, kept by SAQ.

SAQ gives the job's record, its states and the life of a worker. What it leaves open is closed here: a job is
held in a list of its worker's own, so that nothing is lost when a connection breaks between the server's answer
and its arrival, when a worker dies or when the server does; only the holder may change a job's record; and every
step is one script, so that none is half done.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from saq.job import Job, Status
from saq.queue.redis import RedisQueue

from runtime.errors import Conflict
from runtime.services.away import answering
from runtime.services.jobs.adapters import scripts
from runtime.services.jobs.backend import Claimer, Counts, Limits, NewJob, Run
from runtime.services.jobs.ports import JobStatus, JobView

if TYPE_CHECKING:
    from redis.commands.core import AsyncScript

    from runtime.services.blocking import Client

FUNCTION: Final = "run"

_STATES: Final[dict[Status, JobStatus]] = {
    Status.NEW: "queued",
    Status.QUEUED: "queued",
    Status.ACTIVE: "running",
    Status.ABORTING: "cancelled",
    Status.ABORTED: "cancelled",
    Status.FAILED: "failed",
    Status.COMPLETE: "completed",
}


class KeptQueue(RedisQueue):
    """A SAQ queue whose jobs are held by worker.

    Args:
        redis: answers in bytes; shared with others.
        name: the queue's name in the spec.
        prefix: of every key of the environment, `rt:core-services:`.
    """

    def __init__(self, redis: Client, name: str, prefix: str) -> None:
        self.base = f"{prefix}{{jobs.{name}}}:"
        super().__init__(redis, name=name, dump=_dump, load=json.loads)
        self._scripts: dict[str, AsyncScript] = {}

    def namespace(self, key: str) -> str:
        return self.base + key

    def job_id(self, job_key: str) -> str:
        return f"{self.base}job:{job_key}"

    def job_key_from_id(self, job_id: str) -> str:
        return job_id.removeprefix(f"{self.base}job:")

    async def notify(self, job: Job) -> None:
        """Nobody listens: a job is looked at by its record."""

    async def evaluate(self, script: str, keys: list[str], args: list[Any]) -> Any:
        """Runs one of the scripts; names in `keys` are short."""
        known = self._scripts.get(script)
        if known is None:
            known = self._scripts[script] = self.redis.register_script(script)
        whole = [key if key.startswith(self.base) else self.base + key for key in keys]
        return await known(keys=whole, args=args)

    async def _enqueue(self, job: Job) -> Job | None:
        once, lasting = job.meta.get("once", ("", ""))
        taken = await self.evaluate(
            scripts.ENQUEUE,
            [job.id, "incomplete", "queued", "keys", f"once:{once}"],
            [self.serialize(job), job.scheduled or 0, job.meta.get("key", ""), job.key, lasting],
        )
        if isinstance(taken, list):
            job.meta["taken_by"], job.meta["taken"] = (each.decode() for each in taken)
            return None
        return job

    async def update_held(self, job: Job, worker: str) -> bool:
        """Stores a job's record; False where the worker does not hold it any more."""
        return bool(await self.evaluate(scripts.UPDATE, [f"active:{worker}", job.id], [self.serialize(job)]))

    async def finish_held(self, job: Job, worker: str, limits: Limits) -> bool:
        """Ends a job; False where the worker does not hold it any more."""
        completed = job.status == Status.COMPLETE
        ttl = limits.result_ttl if completed else limits.dead_ttl
        return bool(
            await self.evaluate(
                scripts.FINISH,
                [f"active:{worker}", job.id, "incomplete", "keys", "stats", "ended", "dead"],
                [
                    self.serialize(job),
                    max(1, int(ttl * 1000)),
                    job.meta.get("key", ""),
                    job.key,
                    "completed" if completed else "failed",
                    limits.keep,
                    job.completed,
                    job.completed - int(limits.dead_ttl * 1000),
                ],
            )
        )

    async def retry_held(self, job: Job, worker: str) -> bool:
        """Puts a job back for a try at its `scheduled` time; False where the worker does not hold it any more."""
        return bool(
            await self.evaluate(
                scripts.RETRY,
                [f"active:{worker}", job.id, "incomplete", "queued", "stats"],
                [self.serialize(job), job.scheduled or 0],
            )
        )

    async def return_held(self, record: str, worker: str, job: Job | None = None) -> bool:
        """Puts a job back to the front of the queue, with a changed record where one is given."""
        return bool(
            await self.evaluate(
                scripts.RETURN,
                [f"active:{worker}", record, "queued"],
                [self.serialize(job) if job is not None else ""],
            )
        )

    async def drop_held(self, record: str, worker: str) -> None:
        """Forgets what a worker holds and cannot run: its record is gone, or cannot be read."""
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.lrem(self.namespace(f"active:{worker}"), 0, record)
            pipe.zrem(self.namespace("incomplete"), record)
            await pipe.execute()

    async def held(self, worker: str) -> list[str]:
        """The records that a worker holds."""
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.lrange(self.namespace(f"active:{worker}"), 0, -1)
            (records,) = await pipe.execute()
        return [record.decode() for record in records]

    async def stored(self, record: str) -> Job | None:
        """The job of a record."""
        return self.deserialize(await self.redis.get(record))


class SaqBackend:
    """All queues of an environment in one Redis server.

    Args:
        redis: answers in bytes; shared with others.
        prefix: of every key of the environment, `rt:core-services:`.
        instance: names whoever holds the lock of one state folder, the same at each start. Where it is given, the
            jobs of its killed process run again as soon as the next one starts, not only when their leases have
            expired.
    """

    def __init__(self, redis: Client, prefix: str, *, instance: str = "") -> None:
        self._redis = redis
        self._prefix = prefix
        self._instance = instance
        self._queues: dict[str, KeptQueue] = {}

    async def put(self, job: NewJob) -> JobView:
        queue = self._queue(job.queue)
        stored = Job(
            function=FUNCTION,
            kwargs={"payload": dict(job.payload)},
            key=job.id,
            timeout=0,
            retries=job.limits.attempts,
            ttl=int(job.limits.result_ttl),
            scheduled=cast("int", job.scheduled),  # declared in whole seconds, kept as it is given
            meta=_names(job),
        )
        with answering(self._redis):
            if await queue.enqueue(stored) is None:
                taken = stored.meta.get("taken_by", "")
                if stored.meta.get("taken") == "once":
                    raise Conflict(
                        f'the job {taken} of the queue "{job.queue}" was given the name "{job.once}", '
                        "which no other may have",
                        remedy="There is nothing to do: the job that was wanted is there, or has been.",
                    )
                raise Conflict(
                    f'the job {taken} of the queue "{job.queue}" has the key "{job.key}" and has not ended',
                    remedy=f"Wait for it (GET /v1/jobs/{taken}), or use another key.",
                )
        return view(stored)

    async def get(self, queue: str, job_id: str) -> JobView | None:
        with answering(self._redis):
            job = await self._queue(queue).job(job_id)
        return view(job) if job is not None else None

    async def counts(self, queue: str, limits: Limits) -> Counts:
        kept = self._queue(queue)
        with answering(self._redis):
            figures = await kept.evaluate(
                scripts.COUNTS,
                ["queued", "incomplete", "workers", "dead", "stats"],
                [kept.base, int((time.time() - limits.dead_ttl) * 1000)],
            )
        return Counts(*figures)

    def claimer(self, queue: str, limits: Limits, concurrency: int, run: Run) -> Claimer:
        from runtime.services.jobs.adapters.saq_worker import KeepingWorker

        return KeepingWorker(self._queue(queue), limits, concurrency, run, instance=self._instance)

    def _queue(self, name: str) -> KeptQueue:
        if name not in self._queues:
            self._queues[name] = KeptQueue(self._redis, name, self._prefix)
        return self._queues[name]


def view(job: Job) -> JobView:
    """A job as a caller sees it."""
    status = _STATES[job.status]
    if status == "queued" and job.scheduled and job.scheduled > time.time():
        status = "scheduled"
    return JobView(
        id=job.key,
        queue=job.get_queue().name,
        status=status,
        attempts=job.attempts,
        max_attempts=job.retries,
        progress=job.progress,
        result=job.result,
        error=job.error,
        enqueued_at=_moment(job.queued) or datetime.now(UTC),
        started_at=_moment(job.started),
        finished_at=_moment(job.completed),
    )


def _moment(milliseconds: int) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None


def _names(job: NewJob) -> dict[str, Any]:
    names: dict[str, Any] = {}
    if job.key:
        names["key"] = job.key
    if job.once:
        names["once"] = (job.once, max(1, int(job.once_ttl * 1000)))
    return names


def _dump(record: Any) -> str:
    return json.dumps(record, separators=(",", ":"))
