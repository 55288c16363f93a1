"""No acknowledged job is lost: the server dies, the worker dies, the process dies."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Unreachable
from runtime.services.ending import end_tasks
from runtime.services.jobs.adapters.saq_queue import Claim

if TYPE_CHECKING:
    from runtime.services.jobs.ports import JobContext
    from runtime.storage.wire import WiredRedis

HERE = Path(__file__).parent


async def test_the_server_is_killed_under_load(bench: Any, mortal_server: Any) -> None:
    ran: Counter[int] = Counter()

    async def count(job: JobContext, payload: dict[str, Any]) -> None:
        await asyncio.sleep(0.002)
        ran[payload["number"]] += 1

    client = mortal_server.client(retries=3)
    at = bench(count, over=client, concurrency=8, lease="1s")
    workers = [await at.work(), await at.work()]
    acknowledged: list[int] = []
    over = asyncio.Event()

    async def post(first: int) -> None:
        number = first
        while not over.is_set():
            number += 4
            try:
                await at.jobs.enqueue("q", {"number": number})
            except Unreachable:
                await asyncio.sleep(0.02)
            else:
                acknowledged.append(number)

    posting = [asyncio.create_task(post(first)) for first in range(4)]

    async def until(count: int) -> None:
        async with asyncio.timeout(15):
            while len(acknowledged) < count:
                await asyncio.sleep(0.005)

    for _ in range(3):
        await until(len(acknowledged) + 150)
        await asyncio.to_thread(mortal_server.kill)
        await asyncio.sleep(0.2)
        await asyncio.to_thread(mortal_server.start)
        await until(len(acknowledged) + 150)
    over.set()
    await asyncio.gather(*posting)
    async with asyncio.timeout(20):
        while set(acknowledged) - set(ran):
            await asyncio.sleep(0.02)
        while (view := await at.jobs.queue("q")).running or view.waiting or view.scheduled:
            await asyncio.sleep(0.02)
    for worker in workers:
        assert (await worker.health()).status == "operational"
    await client.aclose()


async def test_a_worker_waits_quietly_while_the_server_is_away(bench: Any, mortal_server: Any) -> None:
    async def note(job: JobContext, payload: dict[str, Any]) -> str:
        return "ran"

    client = mortal_server.client()
    at = bench(note, over=client)
    worker = await at.work()
    await at.ended(await at.jobs.enqueue("q", {}))
    mortal_server.kill()
    async with asyncio.timeout(5):
        while (await worker.health()).status != "degraded":
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)  # the pauses have grown
    before = resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.sleep(1.5)
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < 0.3, f"{spent:.2f} s of CPU in 1.5 s of waiting"
    await asyncio.to_thread(mortal_server.start)
    assert (await at.ended(await at.jobs.enqueue("q", {})))[0].result == "ran"
    assert (await worker.health()).status == "operational"
    await worker.stop()
    await client.aclose()


async def test_a_job_that_ends_while_the_server_is_away_is_not_run_again(bench: Any, mortal_server: Any) -> None:
    ran: list[str] = []
    begun, go = asyncio.Event(), asyncio.Event()

    async def note(job: JobContext, payload: dict[str, Any]) -> str:
        begun.set()
        await go.wait()
        ran.append(job.id)
        return "done"

    client = mortal_server.client()
    at = bench(note, over=client, lease="1s")
    worker = await at.work()
    job = await at.jobs.enqueue("q", {})
    await begun.wait()
    mortal_server.kill()
    go.set()
    async with asyncio.timeout(5):
        while not ran:
            await asyncio.sleep(0.01)
    await asyncio.to_thread(mortal_server.start)
    (ended,) = await at.ended(job)
    assert (ended.status, ended.result, ended.attempts, len(ran)) == ("completed", "done", 1, 1)
    await worker.stop()
    await client.aclose()


async def test_stopping_drains_and_gives_the_rest_back_without_spending_a_try(bench: Any) -> None:
    begun: list[str] = []
    draining, finish = asyncio.Event(), asyncio.Event()

    async def some(job: JobContext, payload: dict[str, Any]) -> int:
        begun.append(payload["name"])
        await (draining if payload["name"] == "short" else finish).wait()
        return job.attempt

    at = bench(some, concurrency=2, drain="1s", retry={"attempts": 1})
    worker = await at.work()
    short, long = [await at.jobs.enqueue("q", {"name": name}) for name in ("short", "long")]
    async with asyncio.timeout(5):
        while len(begun) < 2:
            await asyncio.sleep(0.005)
    waiting = await at.jobs.enqueue("q", {"name": "waiting"})
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0)  # it claims no more from here on, so that the place of the short one stays free
    draining.set()
    await stopping
    await worker.stop()  # as often as one likes
    assert (await at.jobs.get(short.id)).status == "completed"
    returned = await at.jobs.get(long.id)
    assert (returned.status, returned.attempts) == ("queued", 0)
    view = await at.jobs.queue("q")
    assert (view.waiting, view.running, view.workers) == (2, 0, 0)
    finish.set()
    await worker.update({"concurrency": 1})
    await worker.start()  # a restart is stop and start on the same object
    ended = await at.ended(long, waiting)
    assert [job.result for job in ended] == [1, 1]
    assert begun[2:] == ["long", "waiting"]  # it went back to the front


async def test_stopping_while_the_server_is_away_takes_no_longer_than_it_may(bench: Any, mortal_server: Any) -> None:
    begun = asyncio.Event()

    async def endless(job: JobContext, payload: dict[str, Any]) -> None:
        begun.set()
        await asyncio.sleep(3600)

    client = mortal_server.client(retries=40)
    at = bench(endless, over=client, drain="100ms", lease="1s")
    worker = await at.work()
    job = await at.jobs.enqueue("q", {})
    await begun.wait()
    mortal_server.kill()
    async with asyncio.timeout(6):
        await worker.stop()
    await asyncio.to_thread(mortal_server.start)
    assert (await at.jobs.get(job.id)).status == "running"  # nobody could give it back
    begun.clear()
    await worker.start()
    async with asyncio.timeout(6):
        await begun.wait()
    await worker.stop()
    await client.aclose()


async def test_a_claim_whose_answer_was_lost_is_run(bench: Any, client: WiredRedis) -> None:
    async def note(job: JobContext, payload: dict[str, Any]) -> str:
        return "ran"

    at = bench(note)
    worker = await at.work()
    claimer: Any = worker._claimer
    exchange, cut = claimer.kept.exchange, 0

    async def broken(*args: Any) -> Any:
        nonlocal cut
        answer = await exchange(*args)
        if answer.claimed and not cut:
            cut += 1
            raise ConnectionError("the connection broke behind the server's back")
        return answer

    claimer.kept.exchange = broken
    (ended,) = await at.ended(await at.jobs.enqueue("q", {}))
    assert (ended.result, ended.attempts, cut) == ("ran", 1, 1)


async def test_an_outcome_whose_answer_was_lost_counts_once(bench: Any) -> None:
    async def note(job: JobContext, payload: dict[str, Any]) -> str:
        return "ran"

    at = bench(note)
    worker = await at.work()
    claimer: Any = worker._claimer
    exchange, cut = claimer.kept.exchange, 0

    async def broken(claim: Any, outcomes: Any, *args: Any) -> Any:
        nonlocal cut
        answer = await exchange(claim, outcomes, *args)
        if outcomes and not cut:
            cut += 1
            raise ConnectionError("the connection broke behind the server's back")
        return answer

    claimer.kept.exchange = broken
    await at.ended(await at.jobs.enqueue("q", {}))
    async with asyncio.timeout(5):
        while claimer.activity.running:
            await asyncio.sleep(0.005)
    assert ((await at.jobs.queue("q")).completed, cut) == (1, 1)


async def test_only_the_holder_may_end_a_job(bench: Any) -> None:
    """A worker that was taken for dead comes back: its outcome does not overwrite that of the one that took over."""
    begun, go = asyncio.Event(), asyncio.Event()
    runs: list[int] = []

    async def slow(job: JobContext, payload: dict[str, Any]) -> int:
        runs.append(len(runs))
        mine = len(runs)
        if mine == 1:
            begun.set()
            await go.wait()
        return mine

    at = bench(slow, lease="1s")
    first = await at.work()
    job = await at.jobs.enqueue("q", {})
    await begun.wait()
    claimer: Any = first._claimer
    claimer._leases.drop(claimer.kept.namespace("workers"), claimer.id)  # no more signs of life
    await end_tasks(claimer._loops)
    await at.work()
    (ended,) = await at.ended(job)
    assert (ended.result, ended.attempts) == (2, 1)
    go.set()
    while not claimer.holding.outcomes:
        await asyncio.sleep(0.005)
    await claimer.exchanging.hand_over(0)
    assert claimer.activity.running == 0
    assert (await at.jobs.get(job.id)).result == 2
    assert (await at.jobs.queue("q")).completed == 1


async def test_a_job_that_kills_its_workers_runs_out_of_lives(bench: Any) -> None:
    at = bench(_never, lease="1s", max_stalled=1, retry={"attempts": 9})
    job = await at.jobs.enqueue("q", {})
    queue: Any = at.backend._queue("q")
    for life in range(2):  # two workers hold it and fall silent
        worker = f"dead-{life}"
        assert (await queue.exchange(Claim(worker, f"{worker}#1", 1, _limits(at)), [], queue.client)).claimed
        await queue.redis.zadd(queue.namespace("workers"), {worker: time.time() - 1})
        if life == 0:
            ticked = await queue.tick("heir", "", ":", _limits(at), 10)
            assert (ticked.returned, ticked.mine) == (1, [])
    await at.work()
    (ended,) = await at.ended(job)
    assert (ended.status, ended.error) == ("failed", "its worker died 2 times while it ran")


async def _never(job: JobContext, payload: dict[str, Any]) -> None: ...


def _limits(at: Any) -> Any:
    from runtime.services.jobs.limits import limits

    return limits(at.specs["q"])


@pytest.mark.parametrize("instance", ["", "folder-1"])
async def test_a_killed_process_loses_nothing(bench: Any, mortal_server: Any, tmp_path: Path, instance: str) -> None:
    """A worker in a process of its own is killed in the middle of its jobs, three times; every job is counted."""
    counted = tmp_path / "counted"
    client = mortal_server.client()
    at = bench(_never, over=client, instance=instance)
    total = 300
    jobs = [await at.jobs.enqueue("q", {"number": number}) for number in range(total)]
    for _ in range(3):
        known = len(counted.read_text().split()) if counted.exists() else 0
        with _worker_process(mortal_server.socket, counted, instance) as process:
            await asyncio.to_thread(_await_lines, counted, known + 50)
            process.send_signal(signal.SIGKILL)
            process.wait()
    with _worker_process(mortal_server.socket, counted, instance):
        ended = await at.ended(*jobs, timeout=30)
    assert {job.status for job in ended} == {"completed"}
    ran = Counter(int(line) for line in counted.read_text().split())
    assert set(ran) == set(range(total))
    assert sum(ran.values()) - total <= 3 * 8  # at most what was in hand at each kill
    await client.aclose()


@contextlib.contextmanager
def _worker_process(socket: Path, counted: Path, instance: str) -> Any:
    process = subprocess.Popen([sys.executable, HERE / "worker_process.py", str(socket), str(counted), instance])
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _await_lines(path: Path, count: int) -> None:
    deadline = time.monotonic() + 15
    while not path.exists() or len(path.read_text().split()) < count:
        assert time.monotonic() < deadline, "the worker does not come on"
        threading.Event().wait(0.005)
