"""Medians with their spread, and each target beside what was reached."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.queueing.speed import Figures

Rounds = dict[str, list["Figures | str"]]
"""What each system came to in each round; a sentence where it failed."""


class Target(NamedTuple):
    """A figure that is aimed at.

    Args:
        figure: its name in the row.
        most: the median of ours is at most that; or
        times: it is at least so many times that of a system, or
        no_worse: it is no more than that of a system.
    """

    figure: str
    most: float | None = None
    times: tuple[float, str] | None = None
    no_worse: str | None = None


DRAINED, BULK = "drained a second", "enqueued in bulk a second"
SERVER = (Target("server CPU a job, µs", most=15), Target("round trips a job", most=0.15))
LOSSLESS = (Target("lost", most=0),)

TARGETS: Final[dict[str, tuple[Target, ...]]] = {
    "drain": (
        Target(DRAINED, times=(15, "saq")),
        Target(DRAINED, times=(2, "bullmq")),
        *SERVER,
        Target(BULK, times=(3, "saq")),
        Target(BULK, times=(1.3, "bullmq")),
    ),
    "drain-aof": (Target(DRAINED, times=(12, "saq")), Target(DRAINED, times=(1.8, "bullmq"))),
    "latency": (
        Target("p50, ms", most=1.2),
        Target("p99, ms", most=3),
        Target("p50, ms", no_worse="saq"),
        Target("p99, ms", no_worse="saq"),
    ),
    "killed": (Target("all run again, s", most=15), *LOSSLESS),
    "outage": (Target("flows again after, s", most=2), Target("CPU while it is away, %", most=1), *LOSSLESS),
    "chaos": (Target("times undisturbed", most=2), *LOSSLESS),
    "resize": (
        Target("up, s", most=0.5),
        Target("down, s", most=0.5),
        Target("connections", most=8),
        Target("run twice", most=0),
        *LOSSLESS,
    ),
}


def medians(rounds: Sequence[Figures | str]) -> Figures:
    """The median of each figure over the rounds that have it."""
    return {name: statistics.median(known) for name, known in _known(rounds).items()}


def table(row: str, measured: Rounds) -> Iterator[str]:
    """A row's table in lines: a system a line, then the targets."""
    names = list(dict.fromkeys(name for rounds in measured.values() for name in _known(rounds)))
    cells = [["", *names]]
    for system, rounds in measured.items():
        known = _known(rounds)
        cells.append([system, *(_cell(known.get(name, []), len(rounds)) for name in names)])
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    yield f"== {row}"
    for line in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
    for system, rounds in measured.items():
        for failure in dict.fromkeys(figures for figures in rounds if isinstance(figures, str)):
            yield f"{system}: {failure}"
    for verdict in verdicts(row, measured):
        yield f"  {verdict['verdict']:<8}{verdict['target']}: {verdict['reached']}"


def verdicts(row: str, measured: Rounds) -> list[dict[str, str]]:
    """Each target of a row with what was reached, and `met`, `missed` or `unknown`.

    Jobs may be lost in no round at all, so there the worst counts, not the median.
    """
    of = {system: medians(rounds) for system, rounds in measured.items()}
    worst = {name: max(known) for name, known in _known(measured.get("ours", [])).items()}
    found = []
    for target in TARGETS[row]:
        ours = (worst if target.figure in ("lost", "run twice") else of.get("ours", {})).get(target.figure)
        wanted, reached, met = _judged(target, ours, of)
        found.append({"target": wanted, "reached": reached, "verdict": met})
    return found


def _judged(target: Target, ours: float | None, of: dict[str, Figures]) -> tuple[str, str, str]:
    def verdict(other: float | None, holds: Callable[[float, float], bool]) -> str:
        return "unknown" if ours is None or other is None else "met" if holds(ours, other) else "missed"

    figure = target.figure
    if target.times is not None:
        factor, peer = target.times
        other = of.get(peer, {}).get(figure)
        reached = f"{ours / other:.2f}×" if ours is not None and other else "not measured"
        return f"{figure} ≥ {factor:g}× {peer}", reached, verdict(other, lambda a, b: a >= factor * b)
    shown = "not measured" if ours is None else _number(ours)
    if target.no_worse is not None:
        other = of.get(target.no_worse, {}).get(figure)
        beside = "" if other is None else f" beside {_number(other)}"
        return f"{figure} ≤ that of {target.no_worse}", shown + beside, verdict(other, lambda a, b: a <= b)
    return f"{figure} ≤ {target.most:g}", shown, verdict(target.most, lambda a, b: a <= b)


def _known(rounds: Sequence[Figures | str]) -> dict[str, list[float]]:
    known: dict[str, list[float]] = {}
    for figures in rounds:
        if not isinstance(figures, str):
            for name, value in figures.items():
                known.setdefault(name, []).append(value)
    return known


def _cell(values: list[float], rounds: int) -> str:
    if not values:
        return "never"
    text = _number(statistics.median(values))
    if len(values) > 1:
        text += f" ({_number(min(values))}–{_number(max(values))})"
    return text if len(values) == rounds else f"{text} in {len(values)} of {rounds}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"
