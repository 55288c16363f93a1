"""Parents that wait for their children, in one queue and over several."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Conflict, Invalid, NotFound
from runtime.services.jobs.adapters.saq_queue import Claim
from runtime.services.jobs.limits import limits
from runtime.services.jobs.ports import Draft
from tests.services.jobs.conftest import Bench

if TYPE_CHECKING:
    from runtime.services.jobs.ports import JobContext
    from runtime.storage.wire import WiredRedis

BASE = "rt:test:{jobs.q}:"


async def step(job: JobContext, payload: dict[str, Any]) -> Any:
    if payload.get("fails"):
        raise ValueError("no")
    if "n" in payload:
        return payload["n"]
    return [child.result for child in await job.children()]


async def test_a_parent_runs_after_its_children_and_sees_their_results(bench: Any) -> None:
    at = bench(step)
    await at.work()
    drafts = [Draft({"n": number}, delay=0.05 * (number == 2)) for number in range(3)]
    parent = await at.jobs.submit("q", Draft({}, children=drafts))
    assert (parent.status, len(parent.children)) == ("blocked", 3)
    assert (await at.jobs.queue("q")).blocked == 1
    (ended,) = await at.ended(parent)
    assert (ended.status, ended.result) == ("completed", [0, 1, 2])


async def test_generations_and_several_queues(client: WiredRedis) -> None:
    at = Bench(client, {"up": {"handler": "t"}, "down": {"handler": "t"}}, {"t": step}, "")
    leaves = [Draft({"n": 1}, queue="down"), Draft({"n": 2}, queue="down")]
    middle = Draft({}, queue="down", children=leaves)
    top = await at.jobs.submit("up", Draft({}, children=[middle, Draft({"n": 3})]))
    for queue in ("up", "down"):
        await at.work(queue)
    (ended,) = await at.ended(top)
    assert ended.result == [[1, 2], 3]
    assert ended.children[0].startswith("down.")
    for worker in at.workers:
        await worker.stop()


async def test_a_failed_child_fails_its_parent_unless_it_runs_anyway(bench: Any) -> None:
    at = bench(step, retry={"attempts": 1})
    await at.work()
    family = [Draft({"fails": True}), Draft({"n": 2}, delay=0.1)]
    strict = await at.jobs.submit("q", Draft({}, children=family))
    lenient = await at.jobs.submit("q", Draft({}, children=family, runs_anyway=True))
    ended, other = await at.ended(strict, lenient)
    assert ended.status == "failed"
    assert ended.error == f"the job {strict.children[0]}, for which it waited, has not completed"
    assert ended.attempts == 0
    assert (other.status, other.result) == ("completed", [None, 2])
    redis: Any = at.backend._redis
    await at.ended(*[await at.jobs.get(child) for child in strict.children])
    assert not await redis.exists("rt:test:{jobs.q}:awaits", "rt:test:{jobs.q}:broken")


async def test_a_cancelled_child_counts_as_one_that_has_not_completed(bench: Any) -> None:
    at = bench(step)
    parent = await at.jobs.submit("q", Draft({}, children=[Draft({"n": 1}, delay=60)]))
    await at.jobs.cancel(parent.children[0])
    await at.work()
    (ended,) = await at.ended(parent)
    assert ended.status == "failed"


@pytest.mark.parametrize("where", ["waiting", "delayed", "held by a dead worker"])
async def test_a_child_whose_record_cannot_be_read_fails_its_parent(bench: Any, client: WiredRedis, where: str) -> None:
    at = bench(step, max_stalled=0)
    child = Draft({"n": 1}, delay=0.05) if where == "delayed" else Draft({"n": 1})
    parent = await at.jobs.submit("q", Draft({}, children=[child, Draft({"n": 2})]))
    tolerant = await at.jobs.submit("q", Draft({}, children=[child], runs_anyway=True))
    if where == "held by a dead worker":
        queue: Any = at.backend._queue("q")
        await queue.exchange(Claim("dead", "dead#1", 5, limits(at.specs["q"])), [], client)
        await client.zadd(BASE + "workers", {"dead": 1})
    for id_ in (parent.children[0], tolerant.children[0]):
        await client.set(f"{BASE}job:{id_}", b"\x00junk")
    await at.work()
    failed, ran = await at.ended(parent, tolerant)
    assert (failed.status, failed.attempts) == ("failed", 0)
    assert failed.error == f"the job {parent.children[0]}, for which it waited, has not completed"
    assert ran.status == "completed"
    async with asyncio.timeout(5):
        while (await at.jobs.queue("q")).running:
            await asyncio.sleep(0.005)
    assert not await client.exists(BASE + "awaits", BASE + "broken", BASE + "parents")


async def test_a_blocked_parent_is_cancelled(bench: Any) -> None:
    at = bench(step)
    parent = await at.jobs.submit("q", Draft({}, children=[Draft({"n": 1}, delay=0.05)]))
    with pytest.raises(Conflict, match="cannot be paused, it is blocked"):
        await at.jobs.rest(parent.id)
    assert (await at.jobs.cancel(parent.id)).status == "cancelled"
    await at.work()
    await at.ended(await at.jobs.get(parent.children[0]))
    assert (await at.jobs.get(parent.id)).status == "cancelled"
    assert (await at.jobs.queue("q")).blocked == 0


async def test_a_family_is_stored_whole_or_not_at_all(bench: Any) -> None:
    at = bench(step)
    await at.jobs.submit("q", Draft({"n": 1}, key="taken"))
    with pytest.raises(Conflict):
        await at.jobs.submit("q", Draft({}, children=[Draft({"n": 1}), Draft({"n": 2}, key="taken")]))
    with pytest.raises(NotFound, match='no queue "other"'):
        await at.jobs.submit("q", Draft({}, children=[Draft({"n": 1}, queue="other")]))
    view = await at.jobs.queue("q")
    assert (view.waiting, view.blocked) == (1, 0)


async def test_a_job_is_laid_aside_and_goes_on_from_what_it_saved(bench: Any) -> None:
    begun = asyncio.Event()
    seen: list[Any] = []

    async def long(job: JobContext, payload: dict[str, Any]) -> Any:
        seen.append((job.attempt, job.saved))
        if job.saved is None:
            await job.save({"step": 3})
            begun.set()
            await asyncio.sleep(3600)
        return job.saved

    at = bench(long, lease="1s")
    waiting = await at.jobs.submit("q", Draft({}))
    assert (await at.jobs.rest(waiting.id)).status == "paused"
    assert (await at.jobs.rest(waiting.id)).status == "paused"  # as often as one likes
    await at.work()
    assert (await at.jobs.queue("q")).resting == 1
    assert (await at.jobs.wake(waiting.id)).status in ("queued", "running")
    await begun.wait()
    assert (await at.jobs.rest(waiting.id)).status == "running"
    async with asyncio.timeout(5):
        while (view := await at.jobs.get(waiting.id)).status != "paused":
            await asyncio.sleep(0.01)
    assert view.attempts == 0  # the try does not count
    await at.jobs.wake(waiting.id)
    (ended,) = await at.ended(waiting)
    assert (ended.status, ended.result, ended.attempts) == ("completed", {"step": 3}, 1)
    assert seen == [(1, None), (1, {"step": 3})]
    with pytest.raises(Conflict, match="is not paused, it is completed"):
        await at.jobs.wake(waiting.id)
    with pytest.raises(Conflict, match="it is completed"):
        await at.jobs.rest(waiting.id)


async def test_a_paused_job_is_cancelled(bench: Any) -> None:
    at = bench(step)
    job = await at.jobs.submit("q", Draft({}))
    await at.jobs.rest(job.id)
    assert (await at.jobs.cancel(job.id)).status == "cancelled"


async def test_a_job_has_limits_of_its_own(bench: Any) -> None:
    async def slow(job: JobContext, payload: dict[str, Any]) -> None:
        await asyncio.sleep(payload.get("for", 0))
        raise ValueError(f"{job.attempt} of {job.attempts}")

    at = bench(slow, timeout="1h", retry={"attempts": 5, "backoff": "1h"})
    await at.work()
    one = await at.jobs.submit("q", Draft({"for": 3600}, timeout="50ms", attempts=1))
    two = await at.jobs.submit("q", Draft({}, attempts=2, backoff="10ms", owner="ada"))
    ended = await at.ended(one, two)
    assert [job.error for job in ended] == ["it took longer than 0.05 s", "ValueError: 2 of 2"]
    assert [job.max_attempts for job in ended] == [1, 2]
    assert ended[1].owner == "ada"


async def test_a_job_that_runs_long_is_reported_then_paused_then_stopped(bench: Any) -> None:
    begun: list[int] = []

    async def endless(job: JobContext, payload: dict[str, Any]) -> None:
        begun.append(job.attempt)
        await asyncio.sleep(3600)

    at = bench(endless, long_running="200ms")
    said: list[Any] = []
    worker = await at.work()

    class Heard:
        def job_runs_long(self, job: str, queue: str, *, owner: str, ran: float, step: str) -> None:
            said.append((step, owner))

    worker._patience._platform = Heard()
    job = await at.jobs.submit("q", Draft({}, owner="ada"))
    async with asyncio.timeout(5):
        while (await at.jobs.get(job.id)).status != "paused":
            await asyncio.sleep(0.01)
    assert said == [("warned", "ada"), ("paused", "ada")]
    await at.jobs.wake(job.id)
    (ended,) = await at.ended(job)
    assert (ended.status, ended.error) == ("failed", "it ran too long although its owner had been warned")
    assert said[2:] == [("stopped", "ada")]
    assert begun == [1, 1]


async def test_a_replayed_child_is_not_counted_twice(bench: Any) -> None:
    tries: list[int] = []

    async def flaky(job: JobContext, payload: dict[str, Any]) -> Any:
        if payload.get("flaky"):
            tries.append(1)
            if len(tries) == 1:
                raise ValueError("no")
        return [child.status for child in await job.children()]

    at = bench(flaky, retry={"attempts": 1})
    family = [Draft({"flaky": True}), Draft({}, delay=3600.0)]
    parent = await at.jobs.submit("q", Draft({}, children=family, runs_anyway=True))
    await at.work()
    first, second = [await at.jobs.get(child) for child in parent.children]
    await at.ended(first)
    await at.jobs.retry(first.id)
    assert (await at.ended(first))[0].status == "completed"
    assert (await at.jobs.get(parent.id)).status == "blocked"  # the other child has not ended
    await at.jobs.cancel(second.id)
    assert (await at.ended(parent))[0].result == ["completed", "cancelled"]


async def test_a_parent_is_replayed_although_several_children_have_failed(bench: Any) -> None:
    at = bench(step, retry={"attempts": 1}, concurrency=1)
    parent = await at.jobs.submit("q", Draft({}, children=[Draft({"fails": True}), Draft({"fails": True})]))
    await at.work()
    await at.ended(*[await at.jobs.get(child) for child in parent.children], parent)
    await at.jobs.retry(parent.id)
    (ended,) = await at.ended(parent)
    assert (ended.status, ended.result) == ("completed", [None, None])


@pytest.mark.parametrize("policy", ["replace", "debounce", "throttle"])
async def test_nobody_stands_for_a_member_of_a_family(bench: Any, policy: Any) -> None:
    """Whoever waits for the job that was replaced would wait for ever."""
    at = bench(step)
    alone = Draft({"n": 1}, key="ada", on_duplicate=policy, window=1.0)
    for draft, pointer in (
        (Draft({}, key="ada", on_duplicate=policy, window=1.0, children=[Draft({"n": 1})]), "/on_duplicate"),
        (Draft({}, children=[alone]), "/children/0/on_duplicate"),
    ):
        with pytest.raises(Invalid) as refused:
            await at.jobs.submit("q", draft)
        assert refused.value.errors[0].pointer == pointer
    parent = await at.jobs.submit("q", Draft({}, children=[Draft({"n": 1}, key="ada", delay=0.2)]))
    other = await at.jobs.submit("q", Draft({"n": 2}, key="ada", on_duplicate="replace"))
    assert (other.duplicate, other.id in parent.children) == (None, False)
    await at.work()
    assert (await at.ended(parent))[0].result == [1]


async def test_long_jobs_are_watched_over_changes_and_beside_premium_ones(bench: Any) -> None:
    begun: list[str] = []

    async def endless(job: JobContext, payload: dict[str, Any]) -> None:
        begun.append(job.id)
        await asyncio.sleep(3600)

    at = bench(endless, long_running="200ms", priority_by={"premium": -1}, concurrency=2)
    worker = await at.work()
    premium = await at.jobs.submit("q", Draft({}, owner="ada", marks=["premium"]))
    while begun != [premium.id]:
        await asyncio.sleep(0.005)
    plain = await at.jobs.submit("q", Draft({}, owner="bob"))
    while len(begun) < 2:
        await asyncio.sleep(0.005)
    await worker.update({"concurrency": 3})
    async with asyncio.timeout(5):
        while (await at.jobs.get(plain.id)).status != "paused":
            await asyncio.sleep(0.01)
    assert (await at.jobs.get(premium.id)).status == "running"
    await at.jobs.cancel(premium.id)
