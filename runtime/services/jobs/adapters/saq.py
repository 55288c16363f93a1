"""Jobs in Redis, kept by SAQ: the port that the service uses, over `saq_queue`."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from saq.job import Job

from runtime.errors import Conflict
from runtime.services.away import answering
from runtime.services.jobs.adapters import scripts
from runtime.services.jobs.adapters.saq_queue import STATES, KeptQueue, dead_before
from runtime.services.jobs.backend import Claimer, Counts, Limits, NewJob, Run
from runtime.services.jobs.ports import JobView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.services.blocking import Client

FUNCTION: Final = "run"
REPLAYED_AT_ONCE: Final = 50
"""Failed jobs whose records are in memory together."""


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

    async def put(self, jobs: Sequence[NewJob]) -> list[JobView]:
        name = jobs[0].queue
        queue = self._queue(name)
        stored = [_record(job) for job in jobs]
        with answering(self._redis):
            taken = await queue.store(stored)
        if taken:
            raise _taken(name, jobs, taken)
        return [view(job) for job in stored]

    async def get(self, queue: str, job_id: str) -> JobView | None:
        with answering(self._redis):
            job = await self._queue(queue).job(job_id)
        return view(job) if job is not None else None

    async def cancel(self, queue: str, job_id: str, limits: Limits) -> JobView | None:
        kept = self._queue(queue)
        with answering(self._redis):
            while True:
                stored = await self._redis.get(kept.job_id(job_id))
                job = kept.deserialize(stored)
                if job is None:
                    return None
                found = view(job)
                match await kept.cancel(job, stored, limits):
                    case "cancelled":
                        return view(job)
                    case "told":
                        return dataclasses.replace(found, status="running")
                    case "ended":
                        break
        ended = await self.get(queue, job_id)
        raise Conflict(
            f"the job {job_id} has ended, it is {ended.status if ended else 'no longer kept'}",
            remedy="Only a job that waits or runs is cancelled.",
        )

    async def dead(self, queue: str, limits: Limits, after: tuple[datetime, str] | None, most: int) -> list[JobView]:
        position = (round(after[0].timestamp() * 1000), after[1]) if after else None
        with answering(self._redis):
            return [view(job) for job in await self._queue(queue).dead(limits, position, most)]

    async def replay(self, queue: str, limits: Limits, ids: Sequence[str]) -> dict[str, str]:
        kept = self._queue(queue)
        refused: dict[str, str] = {}
        with answering(self._redis):
            for part in (ids[at : at + REPLAYED_AT_ONCE] for at in range(0, len(ids), REPLAYED_AT_ONCE)):
                reasons = await kept.replay([kept.job_id(job_id) for job_id in part], limits)
                refused |= {job_id: reason for job_id, reason in zip(part, reasons, strict=True) if reason}
        return refused

    async def oldest_dead(self, queue: str, limits: Limits, most: int) -> list[str]:
        kept = self._queue(queue)
        with answering(self._redis):
            return [kept.job_key_from_id(record) for record in await kept.oldest_dead(limits, most)]

    async def pause(self, queue: str, paused: bool) -> None:
        key = self._queue(queue).namespace("paused")
        with answering(self._redis):
            await (self._redis.set(key, "1") if paused else self._redis.delete(key))

    async def counts(self, queue: str, limits: Limits) -> Counts:
        kept = self._queue(queue)
        with answering(self._redis):
            figures = await kept.evaluate(
                scripts.COUNTS,
                ["queued", "incomplete", "workers", "dead", "stats", "paused"],
                [kept.base, dead_before(limits)],
            )
        *numbers, paused = figures
        return dataclasses.replace(Counts(*numbers), paused=bool(paused))

    def claimer(self, queue: str, limits: Limits, concurrency: int, run: Run) -> Claimer:
        from runtime.services.jobs.adapters.saq_worker import KeepingWorker

        return KeepingWorker(self._queue(queue), limits, concurrency, run, instance=self._instance)

    def _queue(self, name: str) -> KeptQueue:
        if name not in self._queues:
            self._queues[name] = KeptQueue(self._redis, name, self._prefix)
        return self._queues[name]


def _record(job: NewJob) -> Job:
    return Job(
        function=FUNCTION,
        kwargs={"payload": dict(job.payload)},
        key=job.id,
        timeout=0,
        retries=job.limits.attempts,
        ttl=int(job.limits.result_ttl),
        scheduled=cast("int", job.scheduled),  # declared in whole seconds, kept as it is given
        meta=_names(job),
    )


def _taken(queue: str, jobs: Sequence[NewJob], taken: Mapping[int, tuple[str, str]]) -> Conflict:
    """The refusal of jobs whose names other jobs have."""
    place, (owner, name) = next(iter(taken.items()))
    if name == "once":
        return Conflict(
            f'the job {owner} of the queue "{queue}" was given the name "{jobs[place].once}", which no other may have',
            remedy="There is nothing to do: the job that was wanted is there, or has been.",
        )
    message = f'the job {owner} of the queue "{queue}" has the key "{jobs[place].key}" and has not ended'
    if len(jobs) > 1:
        message += f"; {len(taken)} of the {len(jobs)} jobs have such a key, none was stored"
    return Conflict(message, remedy=f"Wait for it (GET /v1/jobs/{owner}), or use another key.")


def view(job: Job) -> JobView:
    """A job as a caller sees it."""
    status = STATES[job.status]
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
