"""Our queue workers beside stock SAQ, BullMQ, taskiq, dramatiq, Celery and arq, on one Valkey.

    python benchmarks/jobs.py [--only drain,latency] [--systems ours,saq] [--rounds 5] [--quick] [--output FILE]

One worker process each, 100 jobs at once, interleaved rounds with an empty server each, medians with their spread. The
peers are installed into `benchmarks/.peers/jobs` at the first run. See `benchmarks/README.md` for the method.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.queueing import faults, speed
from benchmarks.queueing.peers import ALL, ROOT, System
from benchmarks.queueing.report import Rounds, medians, table, verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.queueing.speed import Figures

OUTPUT = ROOT / "benchmarks" / "results" / "jobs.json"
BUSY = 0.7
SECONDS = 3.0
CALIBRATING = 4_000
MOST_JOBS = 200_000


@dataclass(frozen=True, slots=True)
class Row:
    """What is measured: once for each system in each round.

    Args:
        speed: all systems take part; else those that say so.
        rounds: fewer than asked for where one takes minutes.
    """

    measure: Callable[[System, bool], Figures]
    speed: bool = False
    rounds: int | None = None


class Drain:
    """Drains about as many jobs as a system drains in `SECONDS`; a first run that does not count tells how many."""

    def __init__(self, *, append_only: bool) -> None:
        self._append_only = append_only
        self._jobs: dict[str, float] = {}

    def __call__(self, system: System, quick: bool) -> Figures:
        if not quick and system.name not in self._jobs:
            rate = self._measure(system, CALIBRATING)["drained a second"]
            self._jobs[system.name] = min(MOST_JOBS, max(CALIBRATING, round(rate * SECONDS, -3)))
        return self._measure(system, int(self._jobs.get(system.name, CALIBRATING)))

    def _measure(self, system: System, jobs: int) -> Figures:
        return speed.drain(system, jobs=jobs, concurrency=100, append_only=self._append_only)


ROWS = {
    "drain": Row(Drain(append_only=False), speed=True),
    "drain-aof": Row(Drain(append_only=True), speed=True),
    "latency": Row(
        lambda system, quick: speed.latency(system, jobs=200 if quick else 1_000, rate=100, concurrency=100),
        speed=True,
    ),
    "killed": Row(lambda system, quick: faults.killed(system, jobs=100 if quick else 1_000, patience=90)),
    "outage": Row(lambda system, quick: faults.outage(system, jobs=2_000)),
    "chaos": Row(
        lambda system, quick: faults.chaos(
            system, jobs=2_000 if quick else 20_000, workers=2 if quick else 10, servers=1 if quick else 2
        ),
        rounds=1,
    ),
    "resize": Row(
        lambda system, quick: faults.resize(system, jobs=300 if quick else 3_000, most=100 if quick else 1_000)
    ),
}


def measure(names: Sequence[str], systems: Sequence[System], rounds: int, quick: bool) -> dict[str, Rounds]:
    """All rows, the systems of a row in turn within each round."""
    results: dict[str, Rounds] = {}
    for name in names:
        row = ROWS[name]
        taking_part = [system for system in systems if row.speed or system.faults]
        count = min(rounds, row.rounds or rounds)
        results[name] = {system.name: [] for system in taking_part}
        for number in range(count):
            for system in taking_part:
                _progress(f"{name}: round {number + 1} of {count}, {system.name}")
                try:
                    figures: Figures | str = row.measure(system, quick)
                except (RuntimeError, NotImplementedError, OSError) as error:
                    figures = str(error).strip().splitlines()[-1][:200]
                results[name][system.name].append(figures)
        _progress("")
        print("\n".join(table(name, results[name])) + "\n", flush=True)
    return results


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def _names(given: str, known: dict[str, object], what: str) -> list[str]:
    names = given.split(",") if given else list(known)
    for name in names:
        if name not in known:
            raise SystemExit(f'no {what} "{name}"; there are {", ".join(known)}')
    return names


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"rows, of {','.join(ROWS)}")
    parser.add_argument("--systems", default="", help=f"systems, of {','.join(ALL)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a check of the harness: one round with fewer jobs")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    rows = _names(arguments.only, dict(ROWS), "row")
    systems = [ALL[name] for name in _names(arguments.systems, dict(ALL), "system")]
    for system in systems:
        _progress(f"installing {system.name}, where it is not there yet")
        system.install()
    versions = {system.name: system.version() for system in systems}
    _progress("")
    load, began = os.getloadavg()[0], time.monotonic()
    if load > BUSY:
        print(f"The machine is busy (load {load:.1f}): the figures will be worse than it can do.\n")
    results = measure(rows, systems, 1 if arguments.quick else arguments.rounds, arguments.quick)
    report = {
        "machine": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "load before": round(load, 2),
        },
        "versions": versions,
        "quick": arguments.quick,
        "seconds": round(time.monotonic() - began),
        "rows": {
            name: {
                "medians": {system: medians(rounds) for system, rounds in measured.items()},
                "rounds": measured,
                "targets": verdicts(name, measured),
            }
            for name, measured in results.items()
        },
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    print(f"{report['seconds']} s; all figures in {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
