"""Dead jobs: listed, and put back to start again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Conflict, Invalid, NotFound
from runtime.services.jobs.ports import Draft

if TYPE_CHECKING:
    from runtime.services.jobs.ports import JobContext, JobView
    from runtime.storage.wire import WiredRedis


class Weather:
    """A task that fails as long as it is bad."""

    def __init__(self) -> None:
        self.bad = True
        self.tries: list[tuple[str, int]] = []

    async def task(self, job: JobContext, payload: dict[str, Any]) -> str:
        self.tries.append((job.id, job.attempt))
        if self.bad:
            await job.progress(0.5)
            raise ValueError("rain")
        return "dry"


async def dead(at: Any, count: int, **options: Any) -> list[JobView]:
    jobs = await at.jobs.enqueue_all("q", [Draft({"number": number}, **options) for number in range(count)])
    found: list[JobView] = await at.ended(*jobs)
    return found


async def test_dead_jobs_are_listed_newest_first_page_by_page(bench: Any) -> None:
    weather = Weather()
    at = bench(weather.task, retry={"attempts": 1}, concurrency=5)
    await at.work()
    failed = await dead(at, 25)
    wanted = sorted(((job.finished_at, job.id) for job in failed), reverse=True)
    seen: list[Any] = []
    while page := await at.jobs.dead("q", after=seen[-1] if seen else None, limit=4):
        assert len(page) <= 4
        assert {(job.status, job.error) for job in page} == {("failed", "ValueError: rain")}
        seen += [(job.finished_at, job.id) for job in page]
    assert seen == wanted
    with pytest.raises(NotFound):
        await at.jobs.dead("qq")


async def test_expired_ones_are_passed_over(bench: Any, client: WiredRedis) -> None:
    at = bench(Weather().task, retry={"attempts": 1})
    await at.work()
    first, second, third = await dead(at, 3)
    await client.delete(at.backend._queue("q").job_id(second.id))
    assert {job.id for job in await at.jobs.dead("q", limit=2)} == {first.id, third.id}
    replayed = await at.jobs.replay("q", [second.id])
    assert (replayed.replayed, replayed.refused[0].reason) == (0, "it is not there any more")


async def test_a_replayed_job_starts_again_under_its_own_id(bench: Any, client: WiredRedis) -> None:
    weather = Weather()
    at = bench(weather.task, retry={"attempts": 2, "backoff": "5ms"}, concurrency=1)
    worker = await at.work()
    first, second = await dead(at, 2)
    assert (await at.jobs.queue("q")).dead == 2
    await worker.stop()
    done = await at.jobs.replay("q", [first.id, first.id, "q.unknown"])
    assert (done.replayed, done.left, [refusal.id for refusal in done.refused]) == (1, 1, ["q.unknown"])
    again = await at.jobs.get(first.id)
    assert (again.status, again.attempts, again.error, again.progress, again.finished_at) == (
        "queued",
        0,
        None,
        0.0,
        None,
    )
    assert await client.ttl(at.backend._queue("q").job_id(first.id)) == -1
    weather.bad = False
    weather.tries.clear()
    await worker.start()
    (ended,) = await at.ended(again)
    assert (ended.status, ended.result, ended.attempts) == ("completed", "dry", 1)
    assert weather.tries == [(first.id, 1)]
    assert [job.id for job in await at.jobs.dead("q")] == [second.id]


async def test_all_are_replayed_and_may_die_again(bench: Any) -> None:
    weather = Weather()
    at = bench(weather.task, retry={"attempts": 1}, concurrency=10)
    await at.work()
    jobs = await dead(at, 120)
    assert (await at.jobs.replay("q")).replayed == 120
    again = await at.ended(*jobs)
    assert {(job.status, job.attempts) for job in again} == {("failed", 1)}
    assert len(weather.tries) == 240
    assert (await at.jobs.queue("q")).dead == 120
    assert (await at.jobs.replay("q", [])).replayed == 0
    with pytest.raises(Invalid):
        await at.jobs.replay("q", ["x"] * 1_001)


async def test_replays_at_the_same_time_put_each_job_back_once(bench: Any) -> None:
    weather = Weather()
    at = bench(weather.task, retry={"attempts": 1}, concurrency=10)
    worker = await at.work()
    jobs = await dead(at, 100)
    await worker.stop()
    done = await asyncio.gather(*(at.jobs.replay("q") for _ in range(5)))
    assert sum(each.replayed for each in done) == 100
    assert (await at.jobs.queue("q")).waiting == 100
    weather.bad = False
    weather.tries.clear()
    await worker.start()
    assert {job.status for job in await at.ended(*jobs)} == {"completed"}
    assert sorted(weather.tries) == sorted((job.id, 1) for job in jobs)


async def test_a_job_whose_key_another_one_has_stays_dead(bench: Any) -> None:
    """Its key guards against the same work done twice at once; nothing is dropped silently."""
    weather = Weather()
    at = bench(weather.task, retry={"attempts": 1})
    worker = await at.work()
    (failed,) = await at.ended(await at.jobs.enqueue("q", {}, key="ada"))
    await worker.stop()
    second = await at.jobs.enqueue("q", {}, key="ada")
    done = await at.jobs.replay("q")
    assert (done.replayed, done.left) == (0, 1)
    assert second.id in done.refused[0].reason
    with pytest.raises(Conflict, match=second.id):
        await at.jobs.retry(failed.id)
    weather.bad = False
    await worker.start()
    await at.ended(second)
    await at.jobs.retry(failed.id)
    assert [job.status for job in await at.ended(failed)] == ["completed"]


async def test_only_a_failed_job_is_tried_again(bench: Any) -> None:
    weather = Weather()
    at = bench(weather.task, retry={"attempts": 1})
    job = await at.jobs.enqueue("q", {})
    with pytest.raises(Conflict, match="has not failed, it is queued"):
        await at.jobs.retry(job.id)
    assert (await at.jobs.replay("q", [job.id])).refused[0].reason == "it has not failed"
    weather.bad = False
    await at.work()
    await at.ended(job)
    with pytest.raises(Conflict, match="it is completed"):
        await at.jobs.retry(job.id)
    with pytest.raises(NotFound):
        await at.jobs.retry("q.unknown")
