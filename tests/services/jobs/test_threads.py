"""Plain functions in threads: a time limit ends them for their queue, and what they raise harms no other job."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from runtime.services.function import TimedOut
from runtime.services.jobs.threads import Interrupted, ThreadPool

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Lets functions end that wait in C code, where no exception reaches them."""
    event = threading.Event()
    yield event
    event.set()


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def spin(*_: Any) -> None:
    while True:
        pass


async def test_values_errors_and_context_come_back() -> None:
    pool = ThreadPool(2)
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("seen")
    assert (await pool.run(lambda: variable.get())).value == "seen"

    def add(one: int, two: int) -> int:
        return one + two

    assert (await pool.run(add, 1, 2, timeout=10)).value == 3
    assert isinstance((await pool.run(add, 1, timeout=10)).error, TypeError)
    for harmful in (SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError):

        def harm(kind: type[BaseException] = harmful) -> None:
            raise kind

        assert isinstance((await pool.run(harm, timeout=10)).error, harmful)
    assert isinstance((await pool.run(sys.exit, 3, timeout=10)).error, SystemExit)
    assert (pool.abandoned, pool.interrupted) == (0, 0)
    pool.close()


async def test_a_loop_without_end_is_ended() -> None:
    pool = ThreadPool(1)
    error = (await pool.run(spin, timeout=0.05)).error
    assert isinstance(error, TimedOut)
    await until(lambda: pool.abandoned == 0)  # the thread has really ended
    assert pool.interrupted == 1
    assert (await pool.run(lambda: "next", timeout=10)).value == "next"


async def test_one_that_waits_in_c_code_is_left_and_its_slot_is_free(release: threading.Event) -> None:
    pool = ThreadPool(1)
    error = (await pool.run(release.wait, timeout=0.05)).error
    assert isinstance(error, TimedOut)
    assert error.left_running
    assert pool.abandoned == 1
    assert (await pool.run(lambda: "next", timeout=10)).value == "next"
    assert pool.abandoned == 1
    release.set()
    await until(lambda: pool.abandoned == 0)


async def test_one_that_swallows_the_first_interruption_gets_another() -> None:
    swallowed: list[BaseException] = []

    def stubborn() -> None:
        for _ in range(2):
            try:
                spin()
            except BaseException as error:
                swallowed.append(error)
                if len(swallowed) == 2:
                    raise

    pool = ThreadPool(1)
    assert isinstance((await pool.run(stubborn, timeout=0.05)).error, TimedOut)
    await until(lambda: pool.abandoned == 0)
    assert [type(error) for error in swallowed] == [Interrupted, Interrupted]


async def test_except_exception_does_not_swallow_it() -> None:
    cleaned = threading.Event()

    def careful() -> None:
        while True:
            try:
                spin()
            except Exception:
                continue
            finally:
                cleaned.set()

    pool = ThreadPool(1)
    assert isinstance((await pool.run(careful, timeout=0.05)).error, TimedOut)
    await until(lambda: pool.abandoned == 0)
    assert cleaned.is_set()


async def test_cancelling_interrupts() -> None:
    pool = ThreadPool(1)
    begun = threading.Event()

    def work() -> None:
        begun.set()
        spin()

    running = asyncio.create_task(pool.run(work))
    await until(begun.is_set)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: pool.abandoned == 0)
    assert (await pool.run(lambda: "next", timeout=10)).value == "next"


async def test_an_interruption_never_meets_the_next_job() -> None:
    """Functions that end just when their time is up: whoever runs next in that moment is left alone."""
    pool = ThreadPool(4)

    async def pair(number: int) -> None:
        first = await pool.run(time.sleep, 0.01, timeout=0.0095 + number % 5 * 0.0003)
        assert first.error is None or isinstance(first.error, TimedOut)
        second = await pool.run(sum, range(20_000), timeout=30)
        assert second == (sum(range(20_000)), None)

    await asyncio.gather(*(pair(number) for number in range(200)))
    await until(lambda: pool.abandoned == 0)


async def test_no_more_at_once_than_its_size_and_threads_are_used_again() -> None:
    pool = ThreadPool(3)
    seen: set[int] = set()
    running = most = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            seen.add(threading.get_ident())
        time.sleep(0.002)
        with lock:
            running -= 1

    await asyncio.gather(*(pool.run(work, timeout=10) for _ in range(50)))
    assert most == 3
    assert len(seen) == 3
    pool.resize(6)
    await asyncio.gather(*(pool.run(work, timeout=10) for _ in range(50)))
    assert 3 < most <= 6
    pool.close()


async def test_too_many_abandoned_ones_are_told(release: threading.Event) -> None:
    pool = ThreadPool(2, most_abandoned=2)
    for _ in range(2):
        await pool.run(release.wait, timeout=0.02)
    error = (await pool.run(lambda: "never")).error
    assert str(error).startswith("2 threads of former jobs still run")
    release.set()
    await until(lambda: pool.abandoned == 0)
    assert (await pool.run(lambda: "again")).value == "again"
