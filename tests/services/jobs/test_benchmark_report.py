"""What the benchmark of jobs says of its figures: a verdict that is wrong is worse than none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.queueing.processes import Journal
from benchmarks.queueing.report import Rounds, medians, table, verdicts

if TYPE_CHECKING:
    from pathlib import Path


def of(row: str, measured: Rounds) -> dict[str, str]:
    return {verdict["target"]: f"{verdict['verdict']} {verdict['reached']}" for verdict in verdicts(row, measured)}


def test_ratios_are_of_medians() -> None:
    measured: Rounds = {
        "ours": [{"drained a second": rate} for rate in (29_000.0, 31_000.0, 90_000.0)],
        "saq": [{"drained a second": rate} for rate in (2_000.0, 100.0, 2_100.0)],
        "bullmq": ["it did not start"],
    }
    found = of("drain", measured)
    assert found["drained a second ≥ 15× saq"] == "met 15.50×"
    assert found["drained a second ≥ 2× bullmq"] == "unknown not measured"
    assert found["server CPU a job, µs ≤ 15"] == "unknown not measured"
    assert of("drain-aof", {**measured, "saq": [{"drained a second": 3_000.0}]})["drained a second ≥ 12× saq"] == (
        "missed 10.33×"
    )


def test_of_lost_jobs_the_worst_round_counts() -> None:
    rounds = [{"lost": 0.0, "times undisturbed": 1.5}, {"lost": 1.0, "times undisturbed": 1.7}, {"lost": 0.0}]
    found = of("chaos", {"ours": [*rounds]})
    assert found == {"times undisturbed ≤ 2": "met 1.60", "lost ≤ 0": "missed 1"}


def test_a_table_shows_spread_failures_and_what_never_came() -> None:
    measured: Rounds = {
        "ours": [{"p50, ms": 1.0}, {"p50, ms": 1.1}, {"p50, ms": 3.0}],
        "saq": ["no answer", "no answer"],
    }
    lines = list(table("latency", measured))
    assert "1.10 (1–3)" in lines[2]
    assert "never" in lines[3]
    assert lines.count("saq: no answer") == 1
    assert medians(measured["saq"]) == {}


def test_a_journal_counts_what_workers_noted(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    with journal.path.open("a") as file:
        file.write("b -1 1.0\nb 1 1.0\nb 2 1.1\ne 1 1.2\nb 1 1.3\nb 3")
    assert [(run.ended, run.number) for run in journal.read()] == [(False, 1), (False, 2), (True, 1), (False, 1)]
    with journal.path.open("a") as file:
        file.write(" 1.4\n")
    assert [run.number for run in journal.read()] == [3]
    assert (journal.begun[1], journal.ended[1], journal.running) == (2, 1, 3)
    assert journal.until_ended(1, patience=0) is not None
    assert journal.until_ended(2, patience=0) is None
