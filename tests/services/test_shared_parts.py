"""What the services share: calls of users' functions, ids and names, durations, pauses, what is absent."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.services.absent import Absent
from runtime.services.ending import end_tasks
from runtime.services.function import TimedOut, call
from runtime.services.names import seconds, time_ordered, unknown
from runtime.services.retry import pause


async def test_a_call_comes_to_a_value_or_an_error() -> None:
    async def double(number: int) -> int:
        return number * 2

    def fail(number: int) -> int:
        raise SystemExit(number)

    assert (await call(double, 2)).value == 4
    assert isinstance((await call(fail, 2)).error, SystemExit)


async def test_a_call_that_is_cancelled_cancels_its_function() -> None:
    ended = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    calling = asyncio.create_task(call(endless))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    calling.cancel()
    await asyncio.wait({calling})
    assert calling.cancelled()
    assert ended.is_set()


async def test_a_thread_that_takes_too_long_is_left_alone() -> None:
    over = threading.Event()
    returned = await call(over.wait, 30, limit=0.01)
    over.set()
    assert isinstance(returned.error, TimedOut)
    assert returned.error.left_running


async def test_ending_tasks_outlasts_a_lost_cancellation() -> None:
    lost = 0

    async def stubborn() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                lost += 1
                if lost == 3:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end_tasks([task], again=0.01)
    assert task.cancelled()
    await end_tasks([])


def test_ids_sort_by_the_time_they_were_made() -> None:
    ids = [time_ordered() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert [id_[:11] for id_ in ids] == sorted(id_[:11] for id_ in ids)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500ms", 0.5), ("30s", 30), ("1.5m", 90), ("24h", 86400), ("2d", 172800), ("30", None), ("-1s", None)],
)
def test_durations(text: str, expected: float | None) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "s", "1 s", "1S", "1e3s", "\u0661s", "1s\n", "9" * 400 + "s"])
def test_what_is_no_duration(text: str) -> None:
    assert seconds(text) is None


def test_pauses_double_up_to_the_longest() -> None:
    retry: Any = SimpleNamespace(backoff=10.0, max=60.0, jitter=False)
    assert [pause(attempt, retry) for attempt in (1, 2, 3, 4, 5, 10_000)] == [10, 20, 40, 60, 60, 60]
    retry.jitter = True
    assert pause(2, retry, chance=lambda: 1.0) == 10.0
    assert pause(2, retry, chance=lambda: 0.0) == 20.0


def test_unknown_names_get_the_nearest_or_the_list() -> None:
    assert unknown("queue", "emial", ["email", "sms"]).remedy == 'Did you mean "email"?'
    assert unknown("queue", "zzz", ["b", "a"]).remedy == "There are: a, b."
    assert unknown("queue", "zzz", ["a"]).remedy == "There is: a."
    assert unknown("queue", "zzz", []).remedy == "The spec declares no queue."


async def test_what_is_absent_says_so() -> None:
    absent = Absent("ai")
    await absent.start()
    health = await absent.health()
    await absent.stop()
    assert (health.status, health.healthy, health.reason) == ("not built", False, "ai is not built in this version")
