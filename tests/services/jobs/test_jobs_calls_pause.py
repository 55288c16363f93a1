"""Paused queues: nothing begins, nothing is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import NotFound
from runtime.services.jobs.ports import Draft

if TYPE_CHECKING:
    from runtime.services.jobs.ports import JobContext


async def test_a_paused_queue_takes_jobs_and_begins_none_until_it_is_resumed(bench: Any) -> None:
    begun: list[int] = []

    async def note(job: JobContext, payload: dict[str, Any]) -> None:
        begun.append(payload["number"])

    at = bench(note, concurrency=1, lease="1s")
    for _ in range(2):
        await at.work()
    (warm,) = await at.ended(await at.jobs.enqueue("q", {"number": -1}))
    assert (await at.jobs.pause("q")).paused is True
    jobs = [await at.jobs.enqueue("q", {"number": number}) for number in range(10)]
    view = await at.jobs.queue("q")
    assert (view.paused, view.waiting, view.running, begun) == (True, 10, 0, [-1])
    late = await at.work()  # a worker that starts in the pause begins none either
    assert (await at.jobs.resume("q")).paused is False
    assert {job.status for job in await at.ended(*jobs)} == {"completed"}
    assert sorted(begun) == list(range(-1, 10))
    assert (await late.health()).status == "operational"
    assert warm.status == "completed"


async def test_running_jobs_go_on(bench: Any) -> None:
    begun, finish = asyncio.Event(), asyncio.Event()

    async def wait(job: JobContext, payload: dict[str, Any]) -> None:
        begun.set()
        await finish.wait()

    at = bench(wait, lease="1s")
    await at.work()
    job = await at.jobs.enqueue("q", {})
    await begun.wait()
    await at.jobs.pause("q")
    finish.set()
    assert [ended.status for ended in await at.ended(job)] == ["completed"]


async def test_a_pause_outlives_the_workers(bench: Any) -> None:
    async def note(job: JobContext, payload: dict[str, Any]) -> None: ...

    at = bench(note, lease="1s")
    await at.jobs.pause("q")
    await at.jobs.pause("q")
    jobs = await at.jobs.enqueue_all("q", [Draft({}) for _ in range(5)])
    worker = await at.work()
    await worker.stop()
    view = await at.jobs.queue("q")
    assert (view.paused, view.waiting, view.completed) == (True, 5, 0)
    await at.jobs.cancel(jobs[0].id)
    await at.jobs.resume("q")
    await worker.start()
    assert [job.status for job in await at.ended(*jobs)] == ["cancelled"] + ["completed"] * 4
    with pytest.raises(NotFound):
        await at.jobs.pause("qq")
    with pytest.raises(NotFound):
        await at.jobs.resume("qq")
