"""Schedules: one job for each due time, whoever dies and however many instances there are."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from runtime.errors import Conflict, Invalid, NotBuilt
from runtime.plugins import Registry
from runtime.services.jobs.clock import WallClock
from runtime.services.jobs.ports import REMEMBERED
from runtime.services.jobs.schedule import AGAIN, GRACE, Schedule
from runtime.services.jobs.service import JobQueues
from runtime.services.jobs.spec import ScheduleSpec
from runtime.storage.adapters.redis import RedisCache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runtime.storage.wire import WiredRedis

NOON = datetime(2026, 10, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class SetClock:
    """A clock that stands until it is set; knows who waits for it."""

    def __init__(self, moment: datetime = NOON) -> None:
        self._now = moment
        self._waiting: list[tuple[datetime, asyncio.Event]] = []
        self._arrived = asyncio.Condition()

    def now(self) -> datetime:
        return self._now

    async def until(self, moment: datetime) -> None:
        if moment <= self._now:
            return
        entry = (moment, asyncio.Event())
        async with self._arrived:
            self._waiting.append(entry)
            self._arrived.notify_all()
        try:
            await entry[1].wait()
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)

    async def waited_for(self, count: int = 1) -> list[datetime]:
        """Returns when so many wait, with the times that they wait for."""
        async with asyncio.timeout(10), self._arrived:
            await self._arrived.wait_for(lambda: len(self._waiting) >= count)
        return [moment for moment, _ in self._waiting]

    async def set(self, moment: datetime, count: int = 1) -> None:
        """Sets it, and returns when so many have done what was due and wait again."""
        await self.waited_for(count)
        self._now = moment
        for entry in [entry for entry in self._waiting if entry[0] <= moment]:
            self._waiting.remove(entry)
            entry[1].set()
        await self.waited_for(count)


async def free(job: Any, payload: dict[str, Any]) -> None: ...


def spec(cron: str = "*/5 * * * *", **more: Any) -> ScheduleSpec:
    return ScheduleSpec.model_validate({"queue": "q", "cron": cron, **more})


def cache_over(client: WiredRedis) -> RedisCache:
    return RedisCache(client, "rt:test:cache:")


@asynccontextmanager
async def running(schedule: Schedule) -> AsyncIterator[Schedule]:
    await schedule.start()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(schedule.watch)
        try:
            yield schedule
        finally:
            await schedule.stop()


async def waiting(jobs: JobQueues) -> int:
    return (await jobs.queue("q")).waiting


@pytest.fixture
async def other(shared_server: Any) -> AsyncIterator[WiredRedis]:
    """A second client of the server of `client`."""
    async with shared_server.client() as made:
        yield made


async def test_a_day_of_every_five_minutes_with_two_instances(
    bench: Any, client: WiredRedis, other: WiredRedis
) -> None:
    clock = SetClock()
    one, two = bench(free, instance="one"), bench(free, over=other, instance="two")
    first = Schedule("often", spec(payload={"a": 1}), one.jobs, cache_over(client), clock=clock)
    second = Schedule("often", spec(payload={"a": 1}), two.jobs, cache_over(other), clock=clock)
    async with running(first), running(second):
        for number in range(1, 24 * 12 + 1):
            await clock.set(NOON + number * 5 * MINUTE, count=2)
            assert await waiting(one.jobs) == number
    assert await waiting(one.jobs) == 288


async def test_the_job_gets_the_payload_and_runs(bench: Any, client: WiredRedis) -> None:
    got: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def keep(job: Any, payload: dict[str, Any]) -> None:
        got.put_nowait(payload)

    at, clock = bench(keep), SetClock()
    await at.work()
    async with running(Schedule("s", spec(payload={"scope": "audit"}), at.jobs, cache_over(client), clock=clock)):
        await clock.set(NOON + 5 * MINUTE)
        assert await asyncio.wait_for(got.get(), 10) == {"scope": "audit"}


async def test_a_new_schedule_waits_for_its_first_due_time(bench: Any, client: WiredRedis) -> None:
    at, clock = bench(free), SetClock()
    async with running(
        Schedule("s", spec("30 14 * * *", timezone="Europe/Vienna"), at.jobs, cache_over(client), clock=clock)
    ) as schedule:
        assert await clock.waited_for() == [NOON + 30 * MINUTE]
        health = await schedule.health()
        assert (health.status, health.details["next"], health.details["last"]) == (
            "operational",
            "2026-10-24T12:30:00+00:00",
            None,
        )
        await clock.set(NOON + 31 * MINUTE)
        health = await schedule.health()
        assert (health.details["next"], health.details["last"]) == (
            "2026-10-25T13:30:00+00:00",
            "2026-10-24T12:30:00+00:00",
        )
    assert await waiting(at.jobs) == 1
    assert (await schedule.health()).status == "down"


@pytest.mark.parametrize(
    ("cron", "away", "made_up"),
    [
        ("*/5 * * * *", 4 * MINUTE, 0),
        ("*/5 * * * *", 5 * MINUTE, 1),
        ("*/5 * * * *", 48 * GRACE, 1),  # never a burst
        ("30 12 * * *", 30 * MINUTE, 1),
        ("30 12 * * *", 30 * MINUTE + GRACE - MINUTE, 1),
        ("30 12 * * *", 30 * MINUTE + GRACE + MINUTE, 0),
    ],
)
async def test_after_a_downtime_the_last_due_time_runs_once(
    bench: Any, client: WiredRedis, cron: str, away: timedelta, made_up: int
) -> None:
    at = bench(free)
    for moment in (NOON, NOON + away, NOON + away, NOON + away + MINUTE / 2):
        clock = SetClock(moment)
        async with running(Schedule("s", spec(cron), at.jobs, cache_over(client), clock=clock)):
            await clock.waited_for()
    assert await waiting(at.jobs) == made_up


async def test_a_machine_that_slept_makes_up_for_the_last_one(bench: Any, client: WiredRedis) -> None:
    at, clock = bench(free), SetClock()
    async with running(Schedule("s", spec(), at.jobs, cache_over(client), clock=clock)):
        await clock.set(NOON + 62 * MINUTE)
        assert await waiting(at.jobs) == 1
        await clock.set(NOON + 65 * MINUTE)
        assert await waiting(at.jobs) == 2


async def test_changed_times_begin_at_the_next_due_time(bench: Any, client: WiredRedis) -> None:
    at = bench(free)
    for moment, cron in ((NOON, "30 14 * * *"), (NOON + 7 * MINUTE, "*/5 * * * *")):
        clock = SetClock(moment)
        async with running(Schedule("s", spec(cron), at.jobs, cache_over(client), clock=clock)):
            await clock.waited_for()
    assert await waiting(at.jobs) == 0


async def test_a_clock_that_is_set_back_repeats_nothing(bench: Any, client: WiredRedis) -> None:
    at, clock = bench(free), SetClock()
    cache = cache_over(client)
    async with running(Schedule("s", spec(), at.jobs, cache, clock=clock)):
        for moment in (5, 10, 15):
            await clock.set(NOON + moment * MINUTE)
    clock = SetClock(NOON + 2 * MINUTE)
    async with running(Schedule("s", spec(), at.jobs, cache, clock=clock)):
        for moment in (5, 10, 15, 20):
            await clock.set(NOON + moment * MINUTE)
    assert await waiting(at.jobs) == 4


async def test_the_job_is_not_repeated_when_the_instance_dies_right_after_it(bench: Any, client: WiredRedis) -> None:
    """It has stored the job and not yet that it did; and the job has ended, and is not kept."""

    class Dying(RedisCache):
        async def set(self, key: str, value: bytes, *, ttl: float) -> None:
            if b'"last": "' in value:
                raise SystemError("killed here by the test")
            await super().set(key, value, ttl=ttl)

    ran: asyncio.Queue[str] = asyncio.Queue()

    async def note(job: Any, payload: dict[str, Any]) -> None:
        ran.put_nowait(job.id)

    at, clock = bench(note, keep=0), SetClock()
    schedule = Schedule("s", spec(), at.jobs, Dying(client, "rt:test:cache:"), clock=clock)
    await schedule.start()
    life = asyncio.create_task(schedule.watch())
    await clock.waited_for()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await clock.set(NOON + 5 * MINUTE)
    with pytest.raises(SystemError):
        await life
    worker = await at.work()
    await asyncio.wait_for(ran.get(), 10)
    await worker.stop()
    clock = SetClock(NOON + 6 * MINUTE)
    async with running(Schedule("s", spec(), at.jobs, cache_over(client), clock=clock)) as again:
        await clock.waited_for()
        assert (await again.health()).details["last"] == "2026-10-24T12:05:00+00:00"
    queue = await at.jobs.queue("q")
    assert (queue.waiting, queue.completed) == (0, 1)


async def test_while_redis_is_away_it_tries_again(
    bench: Any, mortal_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client, clock = mortal_server.client(retries=0), SetClock()
    at = bench(free, over=client)
    schedule = Schedule("s", spec(), at.jobs, cache_over(client), clock=clock)
    async with client, running(schedule):
        await clock.waited_for()
        mortal_server.kill()
        due = NOON + 5 * MINUTE
        await clock.set(due)
        health = await schedule.health()
        assert health.status == "degraded"
        assert "cannot reach" in health.reason
        assert await clock.waited_for() == [due + AGAIN]
        await clock.set(due + AGAIN)
        assert len([record for record in caplog.records if "cannot reach" in record.message]) == 1
        mortal_server.start()
        await clock.set(due + 2 * AGAIN)
        assert (await schedule.health()).status == "operational"
        assert await waiting(at.jobs) == 1
        assert await clock.waited_for() == [due + 5 * MINUTE]


async def test_a_job_that_is_refused_is_told_until_one_is_taken(bench: Any, client: WiredRedis) -> None:
    at, clock = bench(free), SetClock()
    huge = spec(payload={"x": "y" * 2_000_000})
    async with running(Schedule("s", huge, at.jobs, cache_over(client), clock=clock)) as schedule:
        await clock.set(NOON + 5 * MINUTE)
        health = await schedule.health()
        assert (health.status, health.details["last"]) == ("degraded", None)
        assert health.reason.startswith("2026-10-24T12:05:00+00:00 made no job: the payload has 2,000,")
        assert await clock.waited_for() == [NOON + 10 * MINUTE]
    clock = SetClock(NOON + 6 * MINUTE)
    async with running(Schedule("s", spec(), at.jobs, cache_over(client), clock=clock)) as schedule:
        await clock.waited_for()  # the payload was corrected in time
        assert (await schedule.health()).status == "operational"
    assert await waiting(at.jobs) == 1


async def test_it_goes_on_after_a_restart_by_the_supervisor(bench: Any, client: WiredRedis) -> None:
    at, clock = bench(free), SetClock()
    schedule = Schedule("s", spec(), at.jobs, cache_over(client), clock=clock)
    for number in (1, 2):
        async with running(schedule):
            await clock.set(NOON + number * 5 * MINUTE)
    await schedule.stop()
    assert await waiting(at.jobs) == 2


async def test_what_can_never_run_is_refused_at_the_start(bench: Any, client: WiredRedis) -> None:
    async def strict(job: Any, payload: dict[str, int]) -> None: ...

    at = bench(strict)
    with pytest.raises(Invalid, match=r"schedules\.s\.payload: .*int"):
        await Schedule("s", spec(payload={"a": "b"}), at.jobs, cache_over(client)).start()
    jobs = JobQueues(at.specs, Registry(), at.backend)
    with pytest.raises(NotBuilt, match='the handler "t"'):
        await Schedule("s", spec(), jobs, cache_over(client)).start()


# -- the wall clock ----------------------------------------------------------------------------------------------------


class Told(WallClock):
    """Shows one time after the other, however long that takes."""

    def __init__(self, *minutes: int) -> None:
        super().__init__(look=0.0001)
        self.left = [NOON + minute * MINUTE for minute in minutes]

    def now(self) -> datetime:
        return self.left.pop(0)


@pytest.mark.parametrize(
    ("shown", "looks"),
    [
        ((5, 9), 1),  # it is late enough already
        ((0, 1, 2, 5, 9), 4),
        ((0, 700, 9), 2),  # the machine has slept
        ((0, 1, -9, 9), 3),  # the clock was wrong, and has been set back: what was waited for counts no more
    ],
)
async def test_the_wall_clock_is_looked_at_again_and_again(shown: tuple[int, ...], looks: int) -> None:
    clock = Told(*shown)
    await clock.until(NOON + 5 * MINUTE)
    assert len(clock.left) == len(shown) - looks


async def test_the_wall_clock_shows_the_time_of_the_world() -> None:
    assert WallClock().now().utcoffset() == timedelta(0)


# -- `once` of the port ------------------------------------------------------------------------------------------------


async def test_a_name_is_given_to_one_job_even_when_it_has_ended(bench: Any, client: WiredRedis) -> None:
    at = bench(free, keep=0)
    await at.work()
    results = await asyncio.gather(*(at.jobs.enqueue("q", {}, once="n") for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(result, Conflict) for result in results) == 19
    with pytest.raises(Conflict, match="no other may have"):
        await at.jobs.enqueue("q", {}, once="n", key="k")
    await at.jobs.enqueue("q", {}, once="m", key="k")  # the refused one has left no key behind
    with pytest.raises(Invalid):
        await at.jobs.enqueue("q", {}, once="")
    (name,) = await client.keys("*:once:n")
    assert GRACE.total_seconds() < await client.ttl(name) <= REMEMBERED
