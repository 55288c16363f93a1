"""A queue of SAQ in Redis, whose jobs are held by worker: what each step of a job's life does at the server.

SAQ gives the job's record and its states. What it leaves open is closed here: a job is held in a list of its worker's
own, so that nothing is lost when a connection breaks between the server's answer and its arrival, when a worker dies or
when the server does; only the holder may change a job's record; and every step is one script, so that none is half
done.
"""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any, Final

from saq.job import Job, Status
from saq.queue.redis import RedisQueue
from saq.utils import now

from runtime.services.jobs.adapters import scripts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.commands.core import AsyncScript

    from runtime.services.blocking import Client
    from runtime.services.jobs.backend import Limits
    from runtime.services.jobs.ports import JobStatus

STATES: Final[dict[Status, JobStatus]] = {
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
                STATES[job.status],
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
        found = await self.evaluate(scripts.DEAD, ["dead"], [dead_before(limits), moment, self.job_id(job_key), most])
        return [job for json_ in found if (job := self.deserialize(json_)) is not None]

    async def oldest_dead(self, limits: Limits, most: int) -> list[str]:
        """The records of failed jobs, the oldest first."""
        found = await self.redis.zrangebyscore(
            self.namespace("dead"), f"({dead_before(limits)}", "+inf", start=0, num=most
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


def dead_before(limits: Limits) -> int:
    """The moment, in milliseconds, before which failed jobs are no longer kept."""
    return int((time.time() - limits.dead_ttl) * 1000)


def _dump(record: Any) -> str:
    return json.dumps(record, separators=(",", ":"))
