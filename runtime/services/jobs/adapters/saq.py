"""Jobs in Redis, kept by SAQ.

SAQ gives the job's record, its states and the life of a worker. What it leaves open is closed here: a job is
held in a list of its worker's own, so that nothing is lost when a connection breaks between the server's answer
and its arrival, when a worker dies or when the server does; only the holder may change a job's record; and every
step is one script, so that none is half done.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from saq.job import Job, Status
from saq.queue.redis import RedisQueue
from saq.utils import now

from runtime.errors import Conflict
from runtime.services.away import answering
from runtime.services.jobs.adapters import scripts
from runtime.services.jobs.backend import Claimer, Counts, Limits, NewJob, Run
from runtime.services.jobs.ports import JobStatus, JobView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis.commands.core import AsyncScript

    from runtime.services.blocking import Client

FUNCTION: Final = "run"
REPLAYED_AT_ONCE: Final = 50
"""Failed jobs whose records are in memory together."""

_STATES: Final[dict[Status, JobStatus]] = {
    Status.NEW: "queued",
    Status.QUEUED: "queued",
    Status.ACTIVE: "running",
    Status.ABORTING: "cancelled",
    Status.ABORTED: "cancelled",
    Status.FAILED: "failed",
    Status.COMPLETE: "completed",
}


_TO_BE_CANCELLED: Final = 2


class Cancelled(Exception):  # noqa: N818 - an instruction, not a failure
    """A job that a worker holds is to be cancelled."""


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

    async def store(self, jobs: Sequence[Job]) -> dict[int, tuple[str, str]]:
        """Stores jobs, all or none.

        Returns:
            Whose name is taken: place in `jobs` -> id of the job that has it, and which name, `key` or `once`. Nothing
            is stored unless it is empty.
        """
        for job in jobs:
            job.queue = self
            job.queued = now()
            job.status = Status.QUEUED
        keys = ["incomplete", "queued", "keys"]
        args: list[Any] = []
        for job in jobs:
            once, lasting = job.meta.get("once", ("", ""))
            keys += [job.id, f"once:{once}"]
            args += [self.serialize(job), job.scheduled or 0, job.meta.get("key", ""), job.key, lasting]
        taken = await self.evaluate(scripts.ENQUEUE, keys, args)
        return {
            place: (owner.decode(), name.decode())
            for place, owner, name in zip(taken[::3], taken[1::3], taken[2::3], strict=True)
        }

    async def _enqueue(self, job: Job) -> Job | None:
        return None if await self.store([job]) else job

    async def update_held(self, job: Job, worker: str) -> bool:
        """Stores a job's record.

        Returns:
            False where the worker does not hold it any more.

        Raises:
            Cancelled: the job is to be cancelled; so with the next three, and nothing is done.
        """
        return await self._held(scripts.UPDATE, job.id, worker, ["cancelling"], [self.serialize(job)])

    async def finish_held(self, job: Job, worker: str, limits: Limits) -> bool:
        """Ends a job; False where the worker does not hold it any more."""
        ttl = limits.dead_ttl if job.status == Status.FAILED else limits.result_ttl
        return await self._held(
            scripts.FINISH,
            job.id,
            worker,
            ["incomplete", "keys", "stats", "ended", "dead", "cancelling"],
            [
                self.serialize(job),
                max(1, int(ttl * 1000)),
                job.meta.get("key", ""),
                job.key,
                _STATES[job.status],
                limits.keep,
                job.completed,
                job.completed - int(limits.dead_ttl * 1000),
            ],
        )

    async def retry_held(self, job: Job, worker: str) -> bool:
        """Puts a job back for a try at its `scheduled` time; False where the worker does not hold it any more."""
        return await self._held(
            scripts.RETRY,
            job.id,
            worker,
            ["incomplete", "queued", "stats", "cancelling"],
            [self.serialize(job), job.scheduled or 0],
        )

    async def return_held(self, record: str, worker: str, job: Job | None = None) -> bool:
        """Puts a job back to the front of the queue, with a changed record where one is given."""
        return await self._held(
            scripts.RETURN,
            record,
            worker,
            ["queued", "cancelling"],
            [self.serialize(job) if job is not None else ""],
        )

    async def cancel_held(self, job: Job, worker: str, limits: Limits) -> bool:
        """Ends a job as cancelled; False where the worker does not hold it any more."""
        return await self.finish_held(_cancelled(job), worker, limits)

    async def _held(self, script: str, record: str, worker: str, keys: list[str], args: list[Any]) -> bool:
        outcome = await self.evaluate(script, [f"active:{worker}", record, *keys], args)
        if outcome == _TO_BE_CANCELLED:
            raise Cancelled
        return bool(outcome)

    async def cancel(self, job: Job, stored: bytes, limits: Limits) -> str:
        """Cancels a job whose record is still `stored`; answers as the script does."""
        record, key = job.id, job.meta.get("key", "")
        outcome = await self.evaluate(
            scripts.CANCEL,
            [record, "incomplete", "queued", "keys", "stats", "cancelling"],
            [
                hashlib.sha1(stored, usedforsecurity=False).hexdigest(),
                self.serialize(_cancelled(job)),
                max(1, int(limits.result_ttl * 1000)),
                key,
                job.key,
            ],
        )
        return str(outcome.decode())

    async def drop_held(self, record: str, worker: str) -> None:
        """Forgets what a worker holds and cannot run: its record is gone, or cannot be read."""
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.lrem(self.namespace(f"active:{worker}"), 0, record)
            pipe.zrem(self.namespace("incomplete"), record)
            pipe.srem(self.namespace("cancelling"), record)
            await pipe.execute()

    async def dead(self, limits: Limits, after: tuple[int, str] | None, most: int) -> list[Job]:
        """Failed jobs, the newest first, after a moment in milliseconds and an id."""
        moment, job_key = after or ("", "")
        found = await self.evaluate(scripts.DEAD, ["dead"], [_dead_before(limits), moment, self.job_id(job_key), most])
        return [job for json_ in found if (job := self.deserialize(json_)) is not None]

    async def oldest_dead(self, limits: Limits, most: int) -> list[str]:
        """The records of failed jobs, the oldest first."""
        found = await self.redis.zrangebyscore(
            self.namespace("dead"), f"({_dead_before(limits)}", "+inf", start=0, num=most
        )
        return [record.decode() for record in found]

    async def replay(self, records: Sequence[str], limits: Limits) -> list[str | None]:
        """Puts failed jobs back, to start again as if they had never run.

        Returns:
            For each record why it was left as it is, None where it was put back.
        """
        known = await self.redis.mget(records)
        read = {record: json_ for record, json_ in zip(records, known, strict=True) if json_}
        jobs = {record: self.deserialize(json_) for record, json_ in read.items()}
        failed = {record: job for record, job in jobs.items() if job is not None and job.status == Status.FAILED}
        outcomes = await self.evaluate(
            scripts.REPLAY,
            ["dead", "incomplete", "queued", "keys", *failed],
            [
                field
                for record, job in failed.items()
                for field in (
                    hashlib.sha1(read[record], usedforsecurity=False).hexdigest(),
                    self.serialize(_anew(job, limits)),
                    job.meta.get("key", ""),
                    job.key,
                )
            ],
        )
        reasons: dict[str, str | None] = dict.fromkeys(records, "it is not there any more")
        reasons |= dict.fromkeys(jobs, "it has not failed")
        for (record, job), outcome in zip(failed.items(), outcomes, strict=True):
            owner = outcome.decode()
            reasons[record] = None if owner == "1" else "it has changed meanwhile"
            if owner not in ("1", ""):
                reasons[record] = f'the job {owner} has its key "{job.meta["key"]}" and has not ended'
        return [reasons[record] for record in records]

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
                [kept.base, _dead_before(limits)],
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


def _cancelled(job: Job) -> Job:
    job.status = Status.ABORTED
    job.error = None
    job.completed = job.touched = now()
    return job


def _anew(job: Job, limits: Limits) -> Job:
    """A failed job as it is before its first try."""
    return Job(
        function=job.function,
        kwargs=job.kwargs,
        queue=job.queue,
        key=job.key,
        timeout=0,
        retries=limits.attempts,
        ttl=int(limits.result_ttl),
        queued=now(),
        status=Status.QUEUED,
        meta={"key": job.meta["key"]} if "key" in job.meta else {},
    )


def _dead_before(limits: Limits) -> int:
    """The moment, in milliseconds, before which failed jobs are no longer kept."""
    return int((time.time() - limits.dead_ttl) * 1000)


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
