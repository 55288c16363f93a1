"""In which order jobs run: priorities, the turns of groups, rates, limits over all workers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Invalid
from runtime.services.jobs.ports import Draft

if TYPE_CHECKING:
    from runtime.services.jobs.ports import JobContext


class Diary:
    """Notes which jobs ran, in their order, and how many did at once."""

    def __init__(self, pause: float = 0.0) -> None:
        self.names: list[Any] = []
        self.times: list[float] = []
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self._pause = pause

    async def task(self, job: JobContext, payload: dict[str, Any]) -> None:
        group = payload.get("group", "")
        self.names.append(payload.get("name"))
        self.times.append(time.monotonic())
        for key in {group, "all"}:
            self.running[key] += 1
            self.most[key] = max(self.most[key], self.running[key])
        await asyncio.sleep(self._pause)
        for key in {group, "all"}:
            self.running[key] -= 1


async def run(at: Any, drafts: list[Draft], workers: int = 1) -> None:
    jobs = await at.jobs.enqueue_all("q", drafts)
    for _ in range(workers):
        await at.work()
    await at.ended(*jobs)


async def test_lower_priorities_run_first_and_equal_ones_in_their_order(bench: Any) -> None:
    diary = Diary()
    at = bench(diary.task, concurrency=1, priority=10)
    wanted = [(10, "a"), (None, "b"), (-5, "c"), (2000, "d"), (-2000, "e"), (10, "f"), (-5, "g")]
    await run(at, [Draft({"name": name}, priority=priority) for priority, name in wanted])
    assert "".join(diary.names) == "ecgabfd"


async def test_marks_change_the_priority_as_the_queue_says(bench: Any) -> None:
    diary = Diary()
    at = bench(diary.task, concurrency=1, priority=100, priority_by={"person": -20, "premium": -5})
    drafts = [Draft({"name": "plain"}), Draft({"name": "person"}, marks=["person"])]
    drafts += [Draft({"name": "both"}, marks=["person", "premium"]), Draft({"name": "premium"}, marks=["premium"])]
    await run(at, drafts)
    assert diary.names == ["both", "person", "premium", "plain"]
    with pytest.raises(Invalid) as refused:
        await at.jobs.submit("q", Draft({}, marks=["persom"]))
    assert refused.value.errors[0].pointer == "/marks/0"
    assert 'Did you mean "person"' in refused.value.remedy
    with pytest.raises(Invalid, match="-2000 to 2000"):
        await at.jobs.submit("q", Draft({}, priority=2001))


async def test_a_priority_outlives_retries_and_delays(bench: Any) -> None:
    order: list[str] = []

    async def once_more(job: JobContext, payload: dict[str, Any]) -> None:
        if payload.get("fails") and job.attempt == 1:
            raise ValueError("not yet")
        order.append(payload["name"])
        await asyncio.sleep(0.02)

    at = bench(once_more, concurrency=1, retry={"attempts": 2, "backoff": "10ms", "jitter": False})
    drafts = [Draft({"name": "urgent", "fails": True}, priority=-1)]
    drafts += [Draft({"name": "late"}, priority=-1, delay=0.03)]
    drafts += [Draft({"name": str(number)}) for number in range(8)]
    await run(at, drafts)
    assert set(order[1:5]) >= {"urgent", "late"}


async def test_groups_take_turns_however_long_their_backlogs_are(bench: Any) -> None:
    diary = Diary()
    at = bench(diary.task, concurrency=1)
    drafts = [Draft({"name": "big"}, group="big") for _ in range(60)]
    drafts += [Draft({"name": "small"}, group="small") for _ in range(5)]
    drafts += [Draft({"name": "none"}) for _ in range(5)]
    await run(at, drafts)
    assert Counter(diary.names[:15]) == {"big": 5, "small": 5, "none": 5}


async def test_a_group_that_comes_late_does_not_wait_for_those_before_it(bench: Any) -> None:
    diary = Diary(0.005)
    at = bench(diary.task, concurrency=1)
    first = await at.jobs.enqueue_all("q", [Draft({"name": "old"}, group="old") for _ in range(100)])
    await at.work()
    while len(diary.names) < 20:
        await asyncio.sleep(0.002)
    seen = len(diary.names)
    late = await at.jobs.enqueue_all("q", [Draft({"name": "new"}, group="new") for _ in range(5)])
    await at.ended(*late)
    assert diary.names[seen:].count("old") <= 12
    assert "new" in diary.names[seen : seen + 5]
    await at.ended(*first)


async def test_a_rate_holds_over_all_workers(bench: Any) -> None:
    diary = Diary()
    at = bench(diary.task, concurrency=8, rate="20/s")
    await run(at, [Draft({}) for _ in range(50)], workers=3)
    starts = sorted(diary.times)
    assert len(starts) == 50
    for first, beyond in zip(starts, starts[20:], strict=False):
        assert beyond - first >= 0.97  # no window of a second has more than twenty
    assert starts[-1] - starts[0] < 8


async def test_a_job_counts_for_as_many_as_it_is_admitted(bench: Any) -> None:
    admitted: list[int] = []

    async def task(job: JobContext, payload: dict[str, Any]) -> None:
        admitted.extend([await job.jobs.admit(job.queue, wanted) for wanted in (0, 4, 20)])

    at = bench(task, concurrency=8, rate="10/h")
    await run(at, [Draft({})])
    assert admitted == [0, 4, 5]
    assert await at.jobs.admit("q", 1) == 0


async def test_without_a_rate_a_job_may_do_whatever_it_likes(bench: Any) -> None:
    assert await bench(Diary().task).jobs.admit("q", 1_000) == 1_000


async def test_no_more_run_at_once_than_the_spec_says_over_all_workers(bench: Any) -> None:
    diary = Diary(0.005)
    at = bench(diary.task, concurrency={"min": 3, "max": 3})
    await run(at, [Draft({}) for _ in range(60)], workers=4)
    assert diary.most["all"] == 3


async def test_a_group_has_its_own_slots_and_holds_up_nobody(bench: Any) -> None:
    diary = Diary(0.02)
    at = bench(diary.task, concurrency=6, groups={"concurrency": 2})
    drafts = [Draft({"name": "greedy", "group": "greedy"}, group="greedy") for _ in range(20)]
    drafts += [Draft({"name": "modest", "group": "modest"}, group="modest") for _ in range(4)]
    await run(at, drafts, workers=2)
    assert (diary.most["greedy"], diary.most["modest"]) == (2, 2)
    assert diary.names.index("modest") < 4
    redis: Any = at.backend._redis
    assert not await redis.exists("rt:test:{jobs.q}:limited", "rt:test:{jobs.q}:parked:greedy")
    grouped = await redis.hgetall("rt:test:{jobs.q}:grouped")
    assert grouped == {}


async def test_a_group_has_its_own_rate(bench: Any) -> None:
    diary = Diary()
    at = bench(diary.task, concurrency=6, groups={"rate": "5/s"})
    drafts = [Draft({"name": "fast"}, group="fast") for _ in range(12)]
    drafts += [Draft({"name": "free"}) for _ in range(10)]
    await run(at, drafts)
    starts = [moment for name, moment in zip(diary.names, diary.times, strict=True) if name == "fast"]
    assert len(starts) == 12
    for first, beyond in zip(starts, starts[5:], strict=False):
        assert beyond - first >= 0.97
    assert diary.names[:15].count("free") == 10


async def test_a_delayed_job_starts_when_it_is_due(bench: Any) -> None:
    late: list[float] = []

    async def note(job: JobContext, payload: dict[str, Any]) -> None:
        late.append(time.time() - payload["due"])

    at = bench(note)
    await at.work()
    await asyncio.sleep(0.05)
    jobs = [await at.jobs.submit("q", Draft({"due": time.time() + delay}, delay=delay)) for delay in (0.6, 0.3, 0.1)]
    assert [job.status for job in jobs] == ["scheduled"] * 3
    assert all(job.due_at for job in jobs)
    await at.ended(*jobs)
    assert min(late) >= -0.01
    assert sorted(late)[1] < 0.25  # long before the next look that is taken anyway


async def test_a_full_group_with_the_better_priority_holds_up_nobody(bench: Any) -> None:
    over = asyncio.Event()

    async def task(job: JobContext, payload: dict[str, Any]) -> None:
        if payload.get("waits"):
            await over.wait()

    at = bench(task, concurrency=2, groups={"concurrency": 1})
    greedy = [Draft({"waits": True}, group="greedy", priority=-1) for _ in range(200)]
    waiting = await at.jobs.enqueue_all("q", greedy)
    modest = await at.jobs.submit("q", Draft({}, group="modest"))
    await at.work()
    await at.ended(modest, timeout=4)
    over.set()
    await at.ended(*waiting)


@pytest.mark.parametrize("changed", [{"concurrency": 3}, {}])
async def test_a_limit_of_groups_that_is_changed_strands_nobody(bench: Any, changed: dict[str, int]) -> None:
    begun: list[str] = []
    over = asyncio.Event()

    async def task(job: JobContext, payload: dict[str, Any]) -> None:
        begun.append(job.id)
        await over.wait()

    at = bench(task, concurrency=3, groups={"concurrency": 1})
    worker = await at.work()
    jobs = await at.jobs.enqueue_all("q", [Draft({}, group="one") for _ in range(5)])
    while not begun:
        await asyncio.sleep(0.005)
    await worker.update({"groups": changed})
    async with asyncio.timeout(6):
        while len(begun) < 3:
            await asyncio.sleep(0.01)
    over.set()
    await at.ended(*jobs)
    redis: Any = at.backend._redis
    assert not await redis.exists(*("rt:test:{jobs.q}:" + name for name in ("limited", "grouped", "parked:one")))
