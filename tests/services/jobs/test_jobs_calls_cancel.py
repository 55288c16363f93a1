"""Cancelled jobs: those that wait at once, those that run as soon as their worker has seen it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Conflict, NotFound
from runtime.services.jobs.adapters.saq_queue import Claim
from runtime.services.jobs.limits import limits
from runtime.services.jobs.ports import Draft

if TYPE_CHECKING:
    from runtime.services.jobs.ports import JobContext
    from runtime.storage.wire import WiredRedis


class Endless:
    """A task that runs until it is cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.told = asyncio.Event()
        self.tries = 0

    async def task(self, job: JobContext, payload: dict[str, Any]) -> None:
        self.tries += 1
        self.begun.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.told.set()
            if payload.get("stubborn"):
                raise ValueError("it would not") from None
            raise


@pytest.mark.parametrize("delay", [0.0, 3600.0])
async def test_a_job_that_waits_is_cancelled_at_once(bench: Any, client: WiredRedis, delay: float) -> None:
    endless = Endless()
    at = bench(endless.task)
    job = await at.jobs.enqueue("q", {}, delay=delay, key="ada")
    assert (await at.jobs.cancel(job.id)).status == "cancelled"
    seen = await at.jobs.get(job.id)
    assert (seen.status, seen.attempts, seen.finished_at is None) == ("cancelled", 0, False)
    view = await at.jobs.queue("q")
    assert (view.waiting, view.scheduled, view.dead, view.cancelled) == (0, 0, 0, 1)
    assert await client.ttl(at.backend._queue("q").job_id(job.id)) > 0  # it is not kept for ever
    again = await at.jobs.enqueue("q", {}, key="ada")  # its key is free
    await at.jobs.cancel(again.id)
    await at.work()
    assert (await at.jobs.cancel(job.id)) == seen  # as often as one likes
    with pytest.raises(NotFound):
        await at.jobs.cancel("q.unknown")
    assert endless.tries == 0


@pytest.mark.parametrize("payload", [{}, {"stubborn": True}])
async def test_the_handler_of_a_running_job_is_told_and_no_further_try_is_made(bench: Any, payload: Any) -> None:
    endless = Endless()
    at = bench(endless.task, concurrency=1, lease="1s")
    await at.work()
    job = await at.jobs.enqueue("q", payload)
    await endless.begun.wait()
    assert (await at.jobs.cancel(job.id)).status == "running"
    (ended,) = await at.ended(job)
    assert (ended.status, ended.error, ended.attempts) == ("cancelled", None, 1)
    assert endless.told.is_set()
    assert endless.tries == 1
    view = await at.jobs.queue("q")
    assert (view.running, view.scheduled, view.retried, view.failed, view.cancelled) == (0, 0, 0, 0, 1)
    endless.begun.clear()
    following = await at.jobs.enqueue("q", {})  # its place is free again
    await endless.begun.wait()
    await at.jobs.cancel(following.id)
    await at.ended(following)


async def test_a_job_that_completes_before_it_is_told_has_completed(bench: Any, client: WiredRedis) -> None:
    async def last(job: JobContext, payload: dict[str, Any]) -> str:
        await at.jobs.cancel(job.id)
        return "done"

    at = bench(last)
    await at.work()
    (ended,) = await at.ended(await at.jobs.enqueue("q", {}))
    assert (ended.status, ended.result) == ("completed", "done")
    assert await client.exists(at.backend._queue("q").namespace("signals")) == 0


async def test_progress_brings_the_cancellation_at_once(bench: Any) -> None:
    async def steps(job: JobContext, payload: dict[str, Any]) -> None:
        await at.jobs.cancel(job.id)
        for step in range(100):
            await job.progress(step / 100)
            await asyncio.sleep(0)
        raise AssertionError("it was not told")

    at = bench(steps)
    await at.work()
    (ended,) = await at.ended(await at.jobs.enqueue("q", {}))
    assert (ended.status, ended.error) == ("cancelled", None)


async def test_a_job_that_waits_for_its_next_try_is_cancelled(bench: Any) -> None:
    async def fail(job: JobContext, payload: dict[str, Any]) -> None:
        raise ValueError("no")

    at = bench(fail, retry={"attempts": 5, "backoff": "1h"})
    await at.work()
    job = await at.jobs.enqueue("q", {})
    async with asyncio.timeout(5):
        while (await at.jobs.get(job.id)).status != "scheduled":
            await asyncio.sleep(0.005)
    assert (await at.jobs.cancel(job.id)).status == "cancelled"
    assert (await at.jobs.queue("q")).scheduled == 0


async def test_a_job_whose_worker_stops_is_not_put_back(bench: Any) -> None:
    endless = Endless()
    at = bench(endless.task, drain="0s")
    worker = await at.work()
    job = await at.jobs.enqueue("q", {})
    await endless.begun.wait()
    await at.jobs.cancel(job.id)
    await worker.stop()
    assert (await at.jobs.get(job.id)).status == "cancelled"
    assert (await at.jobs.queue("q")).waiting == 0


async def test_jobs_that_are_cancelled_while_workers_run_end_once(bench: Any, client: WiredRedis) -> None:
    ran: Counter[str] = Counter()

    async def count(job: JobContext, payload: dict[str, Any]) -> None:
        await asyncio.sleep(random.uniform(0, 0.01))
        ran[job.id] += 1

    at = bench(count, concurrency=8, lease="1s", keep=1_000)
    jobs = await at.jobs.enqueue_all("q", [Draft({}) for _ in range(500)])
    workers = [await at.work(), await at.work()]

    async def cancel(part: list[Any]) -> None:
        for job in part:
            try:
                await at.jobs.cancel(job.id)
            except Conflict:
                continue

    backwards = jobs[::-1]
    await asyncio.gather(*(cancel(backwards[first::4]) for first in range(2)), cancel(jobs[::2]), cancel(jobs[1::2]))
    ended = await at.ended(*jobs)
    statuses = Counter(job.status for job in ended)
    assert set(statuses) <= {"completed", "cancelled"}
    assert ran == Counter(job.id for job in ended if job.status == "completed")
    view = await at.jobs.queue("q")
    assert (view.completed, view.cancelled) == (statuses["completed"], statuses["cancelled"])
    assert (view.waiting, view.scheduled, view.running, view.dead) == (0, 0, 0, 0)
    for worker in workers:
        assert (await worker.health()).status == "operational"
    queue = at.backend._queue("q")
    assert await client.exists(queue.namespace("signals"), queue.namespace("held"), queue.namespace("place")) == 0


async def test_a_job_of_a_dead_worker_is_not_run_again(bench: Any, client: WiredRedis) -> None:
    endless = Endless()
    at = bench(endless.task, lease="1s")
    queue = at.backend._queue("q")
    jobs = [await at.jobs.enqueue("q", {}, key=str(number)) for number in range(2)]
    await queue.exchange(Claim("ghost", "ghost#1", 2, limits(at.specs["q"])), [], client)
    for job in jobs:
        assert (await at.jobs.cancel(job.id)).status == "running"
    await client.zadd(queue.namespace("workers"), {"ghost": 1})
    await at.work()
    assert [job.status for job in await at.ended(*jobs)] == ["cancelled", "cancelled"]
    assert endless.tries == 0
    for number in range(2):
        await at.jobs.cancel((await at.jobs.enqueue("q", {}, delay=60, key=str(number))).id)  # their keys are free
