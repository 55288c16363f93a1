"""Jobs in Redis, kept by SAQ: the port that the service uses, over `saq_queue`."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from runtime.errors import Conflict
from runtime.services.away import answering
from runtime.services.jobs.adapters import scripts
from runtime.services.jobs.adapters.lease import Leases
from runtime.services.jobs.adapters.record import ENDED, Parent, Record, decoded, encoded, moment, record_of
from runtime.services.jobs.adapters.saq_queue import KeptQueue, base_of, dead_before, encoded_parent
from runtime.services.jobs.backend import Counts, NewJob, Stored
from runtime.services.jobs.ports import JobView

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runtime.services.blocking import Client
    from runtime.services.jobs.claiming import Claimer, Runner
    from runtime.services.jobs.limits import Limits
    from runtime.services.jobs.ports import JobStatus

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
        self._leases = Leases(redis)

    async def put(self, jobs: Sequence[NewJob]) -> list[Stored]:
        queues = {job.queue: job for job in jobs}
        numbers = {name: str(number) for number, name in enumerate(queues, 1)}
        args: list[Any] = [len(queues)]
        for name, job in queues.items():
            args += [base_of(self._prefix, name), job.usual]
        for job in jobs:
            priority = "" if job.priority is None else job.priority
            record = self._record(job)
            args += [numbers[job.queue], job.id, encoded(record), job.delay, priority, job.group]
            args.append(self._options(job, encoded_parent(record)))
        with answering(self._redis):
            said, *rest = await self._queue(jobs[0].queue).evaluate(scripts.ENQUEUE, *args)
        if said == b"taken":
            taken = {place: (_text(id_), _text(what)) for place, id_, what in _triples(rest)}
            raise _taken(jobs, taken)
        stored = [Stored(job.id, job) for job in jobs]
        for place, id_, how in _triples(rest):
            duplicate: Literal["replaced", "throttled"] = "replaced" if how == b"replaced" else "throttled"
            stored[place] = Stored(_text(id_), jobs[place], duplicate)
        return stored

    async def get(self, queue: str, job_id: str) -> JobView | None:
        with answering(self._redis):
            stored, state, due = await self._queue(queue).state(job_id)
        record = decoded(stored)
        return view(queue, job_id, record, state, due) if record is not None else None

    async def cancel(self, queue: str, job_id: str, limits: Limits) -> JobView | None:
        kept = self._queue(queue)
        with answering(self._redis):
            while True:
                stored, _state, _due = await kept.state(job_id)
                record = decoded(stored)
                if record is None or stored is None:
                    return None
                match await kept.cancel(job_id, stored, record, limits):
                    case "cancelled":
                        return await self.get(queue, job_id)
                    case "told":
                        return view(queue, job_id, record, "running", None)
                    case "ended":
                        break
        ended = await self.get(queue, job_id)
        if ended is not None and ended.status == "cancelled":
            return ended
        raise Conflict(
            f"the job {job_id} has ended, it is {ended.status if ended else 'no longer kept'}",
            remedy="Only a job that waits or runs is cancelled.",
        )

    async def rest(self, queue: str, job_id: str) -> bool:
        with answering(self._redis):
            answer = await self._queue(queue).evaluate(scripts.REST, self._base(queue), job_id)
        return bool(answer != b"ended")

    async def wake(self, queue: str, job_id: str, limits: Limits) -> bool:
        with answering(self._redis):
            answer = await self._queue(queue).evaluate(scripts.WAKE, self._base(queue), job_id, limits.priority)
        return bool(answer == b"queued")

    async def dead(self, queue: str, limits: Limits, after: tuple[datetime, str] | None, most: int) -> list[JobView]:
        position = (round(after[0].timestamp() * 1000), after[1]) if after else None
        with answering(self._redis):
            found = await self._queue(queue).dead(limits, position, most)
        records = [(id_, decoded(stored)) for id_, stored in found]
        return [view(queue, id_, record, "", None) for id_, record in records if record is not None]

    async def replay(self, queue: str, limits: Limits, ids: Sequence[str]) -> dict[str, str]:
        kept = self._queue(queue)
        refused: dict[str, str] = {}
        with answering(self._redis):
            for part in (list(ids[at : at + REPLAYED_AT_ONCE]) for at in range(0, len(ids), REPLAYED_AT_ONCE)):
                reasons = await kept.replay(part, limits)
                refused |= {job_id: reason for job_id, reason in zip(part, reasons, strict=True) if reason}
        return refused

    async def oldest_dead(self, queue: str, limits: Limits, most: int) -> list[str]:
        with answering(self._redis):
            return await self._queue(queue).oldest_dead(limits, most)

    async def pause(self, queue: str, paused: bool) -> None:
        with answering(self._redis):
            await self._queue(queue).evaluate(scripts.PAUSE, self._base(queue), "1" if paused else "0")

    async def counts(self, queue: str, limits: Limits) -> Counts:
        with answering(self._redis):
            figures = await self._queue(queue).evaluate(scripts.COUNTS, self._base(queue), dead_before(limits))
        *numbers, paused = figures
        return dataclasses.replace(Counts(*numbers), paused=bool(paused))

    async def admit(self, queue: str, rate: tuple[int, float], most: int) -> int:
        with answering(self._redis):
            return int(await self._queue(queue).evaluate(scripts.ADMIT, self._base(queue), most, *rate))

    def claimer(self, queue: str, limits: Limits, concurrency: int, runner: Runner) -> Claimer:
        from runtime.services.jobs.adapters.saq_worker import KeepingWorker

        return KeepingWorker(self._queue(queue), limits, concurrency, runner, self._leases, instance=self._instance)

    def _base(self, queue: str) -> str:
        return base_of(self._prefix, queue)

    def _record(self, job: NewJob) -> Record:
        record = record_of(job)
        if job.parent is not None:
            queue, id_, usual = job.parent
            record.meta.parent = Parent(self._base(queue), id_, usual, job.runs_anyway)
        return record

    def _options(self, job: NewJob, parent: str) -> str:
        """What the script is asked beyond storing a job; '' for nothing."""
        options: dict[str, Any] = {}
        if job.key:
            options |= {"key": job.key, "policy": job.on_duplicate, "window": max(1, int(job.window * 1000))}
        if job.once:
            options |= {"once": job.once, "once_for": max(1, int(job.once_ttl * 1000))}
        if job.awaits:
            options["awaits"] = job.awaits
        if parent:
            options["parent"] = parent
        return json.dumps(options) if options else ""

    def _queue(self, name: str) -> KeptQueue:
        if name not in self._queues:
            self._queues[name] = KeptQueue(self._redis, name, self._prefix)
        return self._queues[name]


def _taken(jobs: Sequence[NewJob], taken: Mapping[int, tuple[str, str]]) -> Conflict:
    """The refusal of jobs whose names other jobs have."""
    place, (owner, name) = next(iter(taken.items()))
    refused = jobs[place]
    if name == "once":
        return Conflict(
            f'the job {owner} of the queue "{refused.queue}" was given the name "{refused.once}", '
            "which no other may have",
            remedy="There is nothing to do: the job that was wanted is there, or has been.",
        )
    message = f'the job {owner} of the queue "{refused.queue}" has the key "{refused.key}" and has not ended'
    if len(jobs) > 1:
        message += f"; {len(taken)} of the {len(jobs)} jobs have such a key, none was stored"
    return Conflict(message, remedy=f"Wait for it (GET /v1/jobs/{owner}), or use another key.")


def view(queue: str, job_id: str, record: Record, state: str, due: float | None) -> JobView:
    """A job as a caller sees it.

    Args:
        state: where it stands; see `lua/state.lua`.
        due: when it may run, seconds since the epoch.
    """
    status: JobStatus = ENDED.get(record.status) or cast("JobStatus", state or "queued")
    meta = record.meta
    return JobView(
        id=job_id,
        queue=queue,
        status=status,
        attempts=record.attempts + (status == "running"),
        max_attempts=record.retries,
        progress=record.progress,
        message=meta.message or None,
        result=record.result,
        error=record.error,
        enqueued_at=moment(record.queued) or datetime.now(UTC),
        due_at=moment(int(due * 1000)) if due else None,
        started_at=moment(record.started),
        finished_at=moment(record.completed),
        owner=meta.owner,
        group=meta.group or None,
        children=list(meta.children),
    )


def _triples(answer: Sequence[Any]) -> Iterator[tuple[int, bytes, bytes]]:
    return zip(answer[::3], answer[1::3], answer[2::3], strict=True)


def _text(answer: bytes) -> str:
    return answer.decode()
