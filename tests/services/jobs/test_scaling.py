"""Concurrency between two bounds: it follows the backlog, gives way to strain and does not flap."""

from __future__ import annotations

import asyncio
import heapq
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.services.jobs.load import PERIOD, LoopLag, memory_limit, memory_part, memory_used
from runtime.services.jobs.scaling import HELD, Load, Scaler

bounds = st.tuples(st.integers(1, 50), st.integers(0, 1000)).map(lambda pair: (pair[0], sum(pair)))
loads = st.builds(
    Load,
    backlog=st.integers(0, 10_000),
    running=st.integers(0, 1200),
    lag=st.floats(0, 1000),
    memory=st.floats(0, 1),
    failures=st.floats(0, 1),
)


@given(bounds, st.lists(loads, max_size=60))
def test_never_outside_its_bounds(bounds: tuple[int, int], loads: list[Load]) -> None:
    scaler = Scaler(*bounds)
    for load in loads:
        before = scaler.concurrency
        after = scaler.tick(load)
        assert bounds[0] <= after <= bounds[1]
        assert after == scaler.concurrency
        if after > before:
            assert load.backlog > 0
            assert after <= before * 2
            assert after - before <= load.backlog


@given(bounds, st.integers(1, 2000))
def test_it_reaches_what_is_needed_in_few_ticks(bounds: tuple[int, int], needed: int) -> None:
    """So many jobs could always run side by side."""
    scaler = Scaler(*bounds)
    wanted = min(bounds[1], max(bounds[0], needed))
    ticks = 0
    while scaler.concurrency < wanted:
        running = min(needed, scaler.concurrency)
        scaler.tick(Load(backlog=needed - running, running=running))
        ticks += 1
        assert ticks <= 12
    for _ in range(100):
        scaler.tick(Load(backlog=0, running=min(needed, wanted)))
    assert scaler.concurrency == wanted


@given(bounds, loads)
def test_without_work_it_sinks_to_its_least(bounds: tuple[int, int], first: Load) -> None:
    scaler = Scaler(*bounds)
    for _ in range(30):
        scaler.tick(first)
    for _ in range(500):
        scaler.tick(Load())
    assert scaler.concurrency == bounds[0]


@given(
    bounds,
    st.one_of(
        st.builds(Load, backlog=st.just(100), running=st.just(2000), lag=st.floats(60, 900)),
        st.builds(Load, backlog=st.just(100), running=st.just(2000), memory=st.floats(0.9, 1)),
        st.builds(Load, backlog=st.just(100), running=st.just(2000), failures=st.floats(0.5, 1)),
    ),
)
def test_under_lasting_strain_it_sinks_to_its_least(bounds: tuple[int, int], strained: Load) -> None:
    scaler = Scaler(*bounds)
    for _ in range(12):
        scaler.tick(Load(backlog=5000, running=scaler.concurrency))
    top = scaler.concurrency
    assert scaler.tick(strained) < top or top == bounds[0]  # at once
    for _ in range(30 * (HELD + 1)):
        before = scaler.concurrency
        assert scaler.tick(strained) <= before
    assert scaler.concurrency == bounds[0]


@given(bounds, st.floats(21, 59), st.integers(1, 1000))
def test_between_calm_and_strain_nothing_changes(bounds: tuple[int, int], lag: float, backlog: int) -> None:
    scaler = Scaler(*bounds)
    for _ in range(5):
        scaler.tick(Load(backlog=5000, running=scaler.concurrency))
    before = scaler.concurrency
    for _ in range(50):
        assert scaler.tick(Load(backlog=backlog, running=before, lag=lag)) == before


@given(bounds, bounds)
def test_bounds_change_while_it_runs(first: tuple[int, int], second: tuple[int, int]) -> None:
    scaler = Scaler(*first)
    for _ in range(20):
        scaler.tick(Load(backlog=5000, running=scaler.concurrency))
    assert second[0] <= scaler.bound(*second) <= second[1]


@pytest.mark.parametrize("wrong", [(0, 5), (6, 5)])
def test_bounds_that_are_none(wrong: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no bounds"):
        Scaler(*wrong)


@pytest.mark.parametrize("capacity", [5, 40, 300])
def test_a_machine_that_carries_so_many(capacity: int) -> None:
    """Above its capacity the simulated loop gets late in proportion; the backlog never ends."""
    scaler = Scaler(1, 1000)
    course = []
    for _ in range(600):
        running = scaler.concurrency
        lag = 5.0 if running <= capacity else 5.0 + 400.0 * (running / capacity - 1)
        course.append(scaler.tick(Load(backlog=10_000, running=running, lag=lag)))
    settled = course[100:]
    assert capacity * 0.5 <= sum(settled) / len(settled) <= capacity * 1.3
    assert max(settled) <= capacity * 1.5 + 1
    turns = sum(1 for a, b, c in zip(settled, settled[1:], settled[2:], strict=False) if (b - a) * (c - b) < 0)
    assert turns < len(settled) / 10


def test_it_says_why() -> None:
    scaler = Scaler(1, 8)
    scaler.tick(Load(backlog=1, running=1))
    assert scaler.reason == "1 job waits"
    scaler.tick(Load(backlog=1, running=2, memory=0.93))
    assert scaler.reason == "93% of the memory is taken"


class Clock:
    """An event loop's clock and timers, turned by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[tuple[float, int, Any]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Any) -> Any:
        handle = asyncio.TimerHandle(when, callback, (), self)  # type: ignore[arg-type]
        heapq.heappush(self._timers, (when, len(self._timers), handle))
        return handle

    def get_debug(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: Any) -> None: ...

    def run(self, until: float, *, blocked: float = 0.0) -> None:
        """Calls what is due; each time the loop is blocked for so long before."""
        while self._timers and self._timers[0][0] + blocked <= until:
            when, _, handle = heapq.heappop(self._timers)
            self.now = max(self.now, when) + blocked
            if not handle.cancelled():
                handle._run()
        self.now = max(self.now, until)


def test_lag_is_seen_smoothed_and_forgotten() -> None:
    clock = Clock()
    lag = LoopLag(clock)  # type: ignore[arg-type]
    lag.start()
    lag.start()
    clock.run(1.0)
    assert lag.milliseconds == 0.0
    clock.run(1.0 + PERIOD + 0.1, blocked=0.1)  # one pause
    assert lag.milliseconds == pytest.approx(20, abs=0.1)
    clock.run(5.0, blocked=0.1)
    assert lag.milliseconds == pytest.approx(100, abs=1)
    clock.run(7.0)
    assert lag.milliseconds < 1
    clock.now += 2.0  # the loop is blocked right now, and somebody asks from within
    assert lag.milliseconds > 300
    lag.stop()
    assert lag.milliseconds < 1


async def test_lag_of_a_real_loop() -> None:
    lag = LoopLag()
    lag.start()
    loop = asyncio.get_running_loop()
    for _ in range(4):
        end = loop.time() + 0.1
        while loop.time() < end:
            pass
        await asyncio.sleep(0)
    assert lag.milliseconds > 5
    lag.stop()


def test_memory_of_this_process() -> None:
    limit = memory_limit()
    assert limit is not None
    assert 1_000_000 < memory_used() < limit
    assert 0 < memory_part(limit) < 1
    assert memory_part(None) == 0.0
