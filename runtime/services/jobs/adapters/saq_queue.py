"""A queue of SAQ in Redis whose data path is our own: what each step of a job's life does at the server.

SAQ gives the queue's type and the job's fields. What it leaves open is closed here: every step is one script, so that
none is half done; a worker hands in many outcomes and gets many jobs in one call; a claim has a token, and only who has
it may change the job's record; and a worker that falls silent loses what it holds.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec
from saq.job import Job, Status
from saq.queue.redis import RedisQueue

from runtime.services.jobs.adapters import scripts
from runtime.services.jobs.adapters.record import FUNCTION, Record, decoded, encoded, milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.blocking import Client
    from runtime.services.jobs.limits import Limits


@dataclass(frozen=True, slots=True)
class Claim:
    """What a worker asks for.

    Args:
        token: names this claim, see `scripts`.
        want: how many jobs at most.
        limits: that hold for the queue.
    """

    worker: str
    token: str
    want: int
    limits: Limits


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What a worker got for what it handed in; see `lua/exchange.lua`.

    Args:
        lost: jobs that it does not hold any more.
        told: jobs that are to be cancelled instead.
        claimed: id, record and, where it must fail at once, the child that has failed.
        pause: seconds until a further look is worth it; None where nothing is foreseen.
    """

    lost: list[str]
    told: list[str]
    claimed: list[tuple[str, bytes | None, str | None]]
    pause: float | None


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a worker learns while it shows that it is alive; see `lua/tick.lua`.

    Args:
        signals: held job -> what it is told.
        mine: jobs that are now its own to end: id, record, `cancel` or how often it lost its worker.
        returned: jobs put back.
        more: whether there are more of them.
    """

    signals: dict[str, str]
    mine: list[tuple[str, bytes, str]]
    returned: int
    more: bool


class KeptQueue(RedisQueue):
    """A SAQ queue on our data path.

    Args:
        redis: answers in bytes; shared with others.
        name: the queue's name in the spec.
        prefix: of every key of the environment, `rt:core-services:`.
    """

    def __init__(self, redis: Client, name: str, prefix: str) -> None:
        self.base = base_of(prefix, name)
        super().__init__(redis, name=name, load=json.loads)
        self.client = redis

    def namespace(self, key: str) -> str:
        return self.base + key

    def job_id(self, job_key: str) -> str:
        return f"{self.base}job:{job_key}"

    def job_key_from_id(self, job_id: str) -> str:
        return job_id.removeprefix(f"{self.base}job:")

    # SAQ's own calls

    async def notify(self, job: Job) -> None:
        """Nobody listens: a job is looked at by its record."""

    async def _enqueue(self, job: Job) -> Job | None:
        job.status, job.queued = Status.QUEUED, milliseconds()
        record = Record(kwargs=job.kwargs or {}, retries=job.retries, queued=job.queued)
        answer = await self.evaluate(
            scripts.ENQUEUE,
            1,
            self.base,
            0,
            1,
            job.key,
            encoded(record),
            max(0, job.scheduled - time.time()),
            "",
            "",
            "",
        )
        return job if answer == [b"stored"] else None

    async def job(self, job_key: str) -> Job | None:
        record = decoded(await self.redis.get(self.job_id(job_key)))
        return saq_job(job_key, record, self) if record is not None else None

    # Ours

    async def evaluate(self, script: str, *args: Any) -> Any:
        """Runs one of the scripts."""
        return await self.client.evaluate(script, [f"{self.base}waiting"], args)

    async def exchange(self, claim: Claim, outcomes: Sequence[tuple[Any, ...]], client: Client) -> Exchanged:
        """Hands in outcomes (see `lua/exchange.lua` for their parts) and claims jobs."""
        return exchanged(await client.evaluate(scripts.EXCHANGE, *self.exchanging(claim, outcomes)))

    def exchanging(self, claim: Claim, outcomes: Sequence[tuple[Any, ...]] = ()) -> tuple[list[str], list[Any]]:
        """Keys and arguments of the script for that."""
        limits = claim.limits
        args: list[Any] = [self.base, claim.worker, limits.lease, claim.token, claim.want]
        args += [-1 if limits.most is None else limits.most, limits.priority, limits.keep, _ms(limits.dead_ttl)]
        args += [_rules(limits), len(outcomes)]
        for outcome in outcomes:
            args += outcome
        return [f"{self.base}waiting"], args

    async def claimed(self, token: str) -> list[tuple[str, bytes | None, str | None]]:
        """What the server holds for a claim whose answer was lost, as in `Exchanged`; it does nothing from now on."""
        found = await self.evaluate(scripts.CLAIMED, self.base, token)
        return [
            (id_.decode(), record, child.decode() if child else None)
            for id_, record, child in zip(found[::3], found[1::3], found[2::3], strict=True)
        ]

    async def tick(self, worker: str, instance: str, process: str, limits: Limits, most: int) -> Ticked:
        """Shows that a worker is alive, and takes jobs over from those that are gone."""
        limited = "1" if limits.group_slots or limits.group_rate else "0"
        answer = await self.evaluate(
            scripts.TICK,
            *(self.base, worker, limits.lease, instance, process, most, limits.stalls, limits.priority, limited),
        )
        told, mine, returned, more = answer
        return Ticked(
            signals={id_.decode(): what.decode() for id_, what in zip(told[::2], told[1::2], strict=True)},
            mine=[
                (id_.decode(), record, why.decode())
                for id_, record, why in zip(mine[::3], mine[1::3], mine[2::3], strict=True)
            ],
            returned=returned,
            more=bool(more),
        )

    async def mark(self, jobs: Sequence[tuple[str, str, bytes]]) -> list[str | None]:
        """Stores the records of running jobs: id, token and record of each.

        Returns:
            What each is told: None for nothing, `lost` where it is no longer held, `cancel`, `pause`.
        """
        answers = await self.evaluate(scripts.MARK, self.base, *(part for job in jobs for part in job))
        return [{1: None, 0: "lost"}[each] if isinstance(each, int) else each.decode() for each in answers]

    async def state(self, job_id: str) -> tuple[bytes | None, str, float | None]:
        """A job's record, where it stands, and when it is due; see `lua/state.lua`."""
        record, state, due = await self.evaluate(scripts.STATE, self.base, job_id)
        return record, state.decode(), float(due) if due is not None else None

    async def cancel(self, job_id: str, stored: bytes, record: Record, limits: Limits) -> str:
        """Cancels a job whose record is still `stored`; answers as the script does."""
        cancelled = msgspec.structs.replace(record, kwargs={}, status="aborted", error=None, completed=milliseconds())
        answer = await self.evaluate(
            scripts.CANCEL,
            self.base,
            job_id,
            hashlib.sha1(stored, usedforsecurity=False).hexdigest(),
            encoded(cancelled),
            max(1, _ms(limits.result_ttl)),
            record.meta.key or "",
            encoded_parent(record),
        )
        return str(answer.decode())

    async def dead(self, limits: Limits, after: tuple[int, str] | None, most: int) -> list[tuple[str, bytes]]:
        """Failed jobs, the newest first, after a moment in milliseconds and an id: id and record."""
        moment, job_id = after or ("", "")
        found = await self.evaluate(scripts.DEAD, self.base, dead_before(limits), moment, job_id, most)
        return [(id_.decode(), record) for id_, record in zip(found[::2], found[1::2], strict=True)]

    async def oldest_dead(self, limits: Limits, most: int) -> list[str]:
        """The ids of failed jobs, the oldest first."""
        found = await self.redis.zrangebyscore(
            self.namespace("dead"), f"({dead_before(limits)}", "+inf", start=0, num=most
        )
        return _texts(found)

    async def replay(self, ids: Sequence[str], limits: Limits) -> list[str | None]:
        """Puts failed jobs back, to start again as if they had never run.

        Returns:
            For each why it was left as it is, None where it was put back.
        """
        stored = dict(zip(ids, await self.redis.mget([self.job_id(each) for each in ids]), strict=True))
        records = {id_: decoded(each) for id_, each in stored.items() if each}
        failed = {id_: each for id_, each in records.items() if each is not None and each.status == "failed"}
        args: list[Any] = []
        for id_, record in failed.items():
            meta = record.meta
            sha1 = hashlib.sha1(stored[id_], usedforsecurity=False).hexdigest()
            priority = "" if meta.priority is None else meta.priority
            args += [id_, sha1, encoded(_anew(record)), meta.key or "", priority, meta.group]
        call = (self.base, limits.priority, secrets.token_hex(8))
        answers = _texts(await self.evaluate(scripts.REPLAY, *call, *args)) if failed else []
        reasons: dict[str, str | None] = dict.fromkeys(ids, "it is not there any more")
        reasons |= dict.fromkeys(records, "it has not failed")
        for (id_, record), owner in zip(failed.items(), answers, strict=True):
            reasons[id_] = None if owner == "1" else "it has changed meanwhile"
            if owner not in ("1", ""):
                reasons[id_] = f'the job {owner} has its key "{record.meta.key}" and has not ended'
        return [reasons[id_] for id_ in ids]

    async def leave(self, worker: str) -> None:
        """A worker has stopped: what it may still hold, by a claim that was cut short, is free at once."""
        await self.redis.zadd(self.namespace("workers"), {worker: 0}, xx=True)
        wake, redis = self.namespace("wake"), cast("Any", self.redis)
        if not await redis.llen(wake):  # a sign may have reached it as it left: another one looks
            await redis.rpush(wake, "1")


def exchanged(answer: Sequence[Any]) -> Exchanged:
    """What the script's answer says."""
    lost, told, ids, records, broken, pause = answer
    children = [child.decode() if child else None for child in broken] or [None] * len(ids)
    claimed = list(zip(_texts(ids), records, children, strict=True))
    seconds = float(pause)
    return Exchanged(_texts(lost), _texts(told), claimed, seconds if seconds >= 0 else None)


def base_of(prefix: str, queue: str) -> str:
    """What the keys of a queue begin with; one hash tag keeps them together in a cluster."""
    return f"{prefix}{{jobs.{queue}}}:"


def saq_job(job_id: str, record: Record, queue: KeptQueue) -> Job:
    """A job as SAQ's own calls show it."""
    return Job(
        function=FUNCTION,
        kwargs=record.kwargs,
        queue=queue,
        key=job_id,
        timeout=0,
        retries=record.retries,
        scheduled=int(record.scheduled),
        progress=record.progress,
        attempts=record.attempts,
        completed=record.completed,
        queued=record.queued,
        started=record.started,
        touched=record.touched,
        result=record.result,
        error=record.error,
        status=Status(record.status),
    )


def encoded_parent(record: Record) -> str:
    """The `parent` option of a job's outcome."""
    parent = record.meta.parent
    if parent is None:
        return ""
    return json.dumps({"base": parent.base, "id": parent.id, "usual": parent.usual, "run": parent.run})


def dead_before(limits: Limits) -> int:
    """The moment, in milliseconds, before which failed jobs are no longer kept."""
    return int((time.time() - limits.dead_ttl) * 1000)


def _anew(record: Record) -> Record:
    """A failed job as it is before its first try, but for what it has saved."""
    # Its parent has been told that it failed, and waits for it no more.
    meta = msgspec.structs.replace(record.meta, parent=None, paused_before=False, message="")
    return Record(kwargs=record.kwargs, retries=record.retries, queued=milliseconds(), meta=meta)


def _rules(limits: Limits) -> str:
    """The limits that the exchange obeys; '' for none."""
    rules: dict[str, Any] = {}
    if limits.rate:
        rules["rate"] = limits.rate
    if limits.group_slots:
        rules["group_slots"] = limits.group_slots
    if limits.group_rate:
        rules["group_rate"] = limits.group_rate
    return json.dumps(rules) if rules else ""


def _texts(answer: Sequence[bytes]) -> list[str]:
    return [each.decode() for each in answer]


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
