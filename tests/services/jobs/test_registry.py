"""Long-running jobs on a clock that the test turns: warned, paused once, stopped."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runtime.services.jobs.registry import ActiveJobs, Pause, Step, Stop, Warn


def kinds(steps: list[Step]) -> list[str]:
    return [type(step).__name__ for step in steps]


def test_warned_paused_once_and_stopped() -> None:
    active = ActiveJobs(long_running=60, timeout=600)
    active.add("a", 100.0, owner="ada")
    assert active.due(159.9) == []
    assert active.due(160.0) == [Warn("a", "ada", 60.0)]
    assert active.due(219.9) == []
    assert active.due(220.0) == [Pause("a", "ada", 120.0)]
    active.paused("a", 221.0)
    assert active.due(500.0) == []  # it does not run
    active.resumed("a", 521.0)
    assert active.due(579.9) == []
    (stop,) = active.due(580.0)
    assert isinstance(stop, Stop)
    assert (stop.ran, stop.why) == (180.0, "it ran for 3m although it had been paused once")
    assert active.due(10_000.0) == []


def test_premium_owners_have_five_times_as_long() -> None:
    active = ActiveJobs(long_running=60, timeout=7200)
    active.add("a", 0.0, premium=True)
    assert active.due(299.0) == []
    assert kinds(active.due(300.0)) == ["Warn"]
    assert active.due(599.0) == []
    assert kinds(active.due(600.0)) == ["Pause"]
    assert kinds(active.due(900.0)) == ["Stop"]
    active = ActiveJobs(long_running=60, timeout=7200, premium=2.0)
    active.add("a", 0.0, premium=True)
    assert kinds(active.due(120.0)) == ["Warn"]


def test_who_asks_late_still_skips_no_step() -> None:
    active = ActiveJobs(long_running=60, timeout=7200)
    active.add("a", 0.0)
    assert kinds(active.due(1000.0)) == ["Warn"]
    assert active.due(1059.0) == []
    assert kinds(active.due(1060.0)) == ["Pause"]


def test_the_time_limit_stops_paused_ones_too() -> None:
    active = ActiveJobs(long_running=60, timeout=600)
    active.add("a", 0.0)
    active.paused("a", 10.0)
    active.paused("a", 20.0)  # a second time means nothing
    assert active.due(599.0) == []
    assert active.due(600.0) == [Stop("a", None, 10.0, "its time limit of 10m is over")]
    active.resumed("a", 700.0)
    assert active.due(800.0) == []


def test_without_long_running_there_is_the_time_limit_alone() -> None:
    active = ActiveJobs(long_running=None, timeout=90)
    active.add("a", 0.0)
    assert active.next_due() == 90.0
    assert active.due(89.0) == []
    assert [step.why for step in active.due(90.0) if isinstance(step, Stop)] == ["its time limit of 90s is over"]


def test_what_has_ended_is_forgotten() -> None:
    active = ActiveJobs(long_running=60, timeout=600)
    active.add("a", 0.0)
    active.remove("a")
    active.remove("a")
    active.paused("a", 1.0)
    active.resumed("a", 2.0)
    assert (len(active), "a" in active, active.due(1000.0), active.next_due()) == (0, False, [], None)


moves = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "pause", "resume", "end", "begin"]),
        st.sampled_from(["a", "b", "c"]),
        st.floats(0, 500, allow_nan=False),
    ),
    max_size=40,
)


@given(moves, st.floats(1, 200), st.floats(1, 2000), st.booleans())
def test_whatever_happens_steps_keep_their_order(
    moves: list[tuple[str, str, float]], long: float, timeout: float, premium: bool
) -> None:
    active = ActiveJobs(long_running=long, timeout=timeout)
    now = 0.0
    seen: dict[str, list[Step]] = {}
    began: dict[str, float] = {}
    for move, job, passed in moves:
        now += passed
        match move:
            case "begin":
                active.add(job, now, premium=premium)
                seen[job], began[job] = [], now
            case "pause":
                active.paused(job, now)
            case "resume":
                active.resumed(job, now)
            case "end":
                active.remove(job)
                began.pop(job, None)
            case _:
                _check(active, active.due(now), seen, began, now)
    for job in began:  # in the end each of them is stopped
        end = active.due(now + timeout + 1)
        assert all(isinstance(step, Stop) for step in end)
        assert [step.job for step in end].count(job) + sum(isinstance(step, Stop) for step in seen[job]) == 1
        break


def _check(active: ActiveJobs, steps: list[Step], seen: Any, began: dict[str, float], now: float) -> None:
    assert len({step.job for step in steps}) == len(steps)
    for step in steps:
        before = kinds(seen[step.job])
        over = now >= began[step.job] + active.timeout
        assert isinstance(step, Stop) == over or before == ["Warn", "Pause"]
        if not over:
            assert [*before, type(step).__name__] == ["Warn", "Pause", "Stop"][: len(before) + 1]
            last = seen[step.job][-1].ran if before else 0.0
            assert step.ran - last >= active.long_running - 1e-6  # type: ignore[operator]
        assert "Stop" not in before
        seen[step.job].append(step)
    due = active.next_due()
    assert due is None or due > now


@given(st.floats(1, 100), st.floats(1, 1000), st.floats(0, 1000))
def test_next_due_is_the_moment(long: float, timeout: float, start: float) -> None:
    active = ActiveJobs(long_running=long, timeout=timeout)
    active.add("a", start)
    steps = 0
    while (at := active.next_due()) is not None:
        assert active.due(at - 1e-3) == []
        assert len(active.due(at)) == 1
        steps += 1
    assert 1 <= steps <= 3
