"""The claim that a worker with nothing to do leaves at the server."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.services.jobs.ports import JobContext
    from runtime.storage.wire import WiredRedis


async def note(job: JobContext, payload: dict[str, Any]) -> str:
    return "ran"


async def stands(client: WiredRedis, workers: int = 1) -> list[dict[str, str]]:
    """The connections whose claim waits for a sign."""
    while True:
        waiting = [each for each in await client.client_list() if each["cmd"] == "blpop" and "b" in each["flags"]]
        if len(waiting) == workers:
            return waiting
        await asyncio.sleep(0.005)


async def test_a_sign_is_followed_by_the_claim_without_a_further_command(bench: Any, client: WiredRedis) -> None:
    at = bench(note, concurrency=1)
    worker = await at.work()
    await stands(client)
    sent: list[str] = []
    claimer: Any = worker._claimer
    exchange = claimer.kept.exchange

    async def noted(claim: Any, outcomes: Any, *args: Any) -> Any:
        sent.append("ended" if outcomes else "asked")
        return await exchange(claim, outcomes, *args)

    claimer.kept.exchange = noted
    await at.ended(await at.jobs.enqueue("q", {}))
    assert sent[0] == "ended"


async def test_it_holds_up_no_job_whose_time_has_come(bench: Any, client: WiredRedis) -> None:
    """It has the only slot; it is called off and made anew."""
    at = bench(note, concurrency=1)
    await at.work()
    await stands(client)
    job = await at.jobs.enqueue("q", {}, delay=0.4)
    began = time.monotonic()
    await at.ended(job)
    assert 0.3 < time.monotonic() - began < 2.5  # it would stand for five seconds


async def test_a_worker_that_ends_calls_it_off(bench: Any, client: WiredRedis) -> None:
    at = bench(note, concurrency=4)
    worker = await at.work()
    await stands(client)
    began = time.monotonic()
    await worker.stop()
    assert time.monotonic() - began < 2.5


async def test_a_worker_that_grows_uses_its_slots_at_once(bench: Any, client: WiredRedis) -> None:
    running, go = 0, asyncio.Event()

    async def wait(job: JobContext, payload: dict[str, Any]) -> None:
        nonlocal running
        running += 1
        await go.wait()

    at = bench(wait, concurrency=1)
    worker = await at.work()
    await stands(client)
    await worker.update({"concurrency": 6})
    jobs = [await at.jobs.enqueue("q", {}) for _ in range(6)]
    async with asyncio.timeout(3):
        while running < 6:
            await asyncio.sleep(0.005)
    go.set()
    await at.ended(*jobs)


async def test_a_connection_that_is_cut_while_it_stands_loses_no_job(bench: Any, client: WiredRedis) -> None:
    at = bench(note, concurrency=8)
    await at.work()
    jobs = []
    for _ in range(10):
        for each in await stands(client):
            jobs.append(await at.jobs.enqueue("q", {}))
            await client.client_kill_filter(_id=each["id"])
    assert {job.status for job in await at.ended(*jobs)} == {"completed"}
    assert (await at.jobs.queue("q")).completed == 10


async def test_one_sign_starts_one_of_many_workers(bench: Any, client: WiredRedis) -> None:
    at = bench(note, concurrency=2)
    for _ in range(3):
        await at.work()
    for _ in range(30):
        await stands(client, 3)
        await at.ended(await at.jobs.enqueue("q", {}))
    assert (await at.jobs.queue("q")).completed == 30
