"""10,000 mixed jobs while workers are killed at random: memory stays flat, and no answer is lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from runtime.services.sandbox.service import SandboxService
from runtime.services.sandbox.spec import SandboxSpec
from tests.services.sandbox.conftest import bundle
from tests.services.sandbox.probes import javascript, python

pytestmark = pytest.mark.soak

JOBS = 10_000
AT_ONCE = 8
CALLERS = 5
FLAT = 40
"""Megabytes by which a worker may be larger after the run than after its first fifth."""


async def run(*, killing: bool) -> None:
    bundle()
    chance = random.Random(4711)
    hostile = {
        "javascript": [
            code for name, code in javascript.PROBES.items() if name.startswith(("poison", "reach", "heap"))
        ],
        "python": [code for name, code in python.PROBES.items() if name.startswith(("poison", "reach", "memory"))],
    }
    sandbox = SandboxService(SandboxSpec.model_validate({"languages": ["javascript", "python"]}))
    await sandbox.start()
    while not (await sandbox.health()).details["python"].get("workers"):
        await asyncio.sleep(0.05)
    numbers = iter(range(JOBS))
    statuses: Counter[str] = Counter()
    sizes: dict[int, float] = {}
    kills = 0

    async def caller(name: str) -> None:
        for number in numbers:
            language = chance.choice(("javascript", "python"))
            if chance.random() < 0.05:
                done = await sandbox.execute(language, chance.choice(hostile[language]), timeout=0.1, caller=name)  # type: ignore[arg-type]
                statuses[f"hostile {done.status}"] += 1
                continue
            done = await sandbox.execute(language, "input * 2", number, caller=name)  # type: ignore[arg-type]
            lost = killing and done.error is not None and done.error.type == "WorkerLost"
            # A machine that stands still for half a second ends a job at its limit: that is an answer, too.
            assert done.output == number * 2 or lost or done.status == "timeout", done
            statuses["lost" if lost else done.status] += 1

    async def measure() -> None:
        nonlocal kills
        while True:
            await asyncio.sleep(1)
            alive = sandbox.processes()
            sizes[sum(statuses.values())] = max(map(_megabytes, alive), default=0.0)
            if killing and alive:
                os.kill(chance.choice(alive), signal.SIGKILL)
                kills += 1

    measuring = asyncio.create_task(measure())
    try:
        async with asyncio.TaskGroup() as callers:
            for number in range(AT_ONCE):
                callers.create_task(caller(f"caller {number % CALLERS}"))
    finally:
        measuring.cancel()
        health = await sandbox.health()
        await sandbox.stop()
    early = max((size for count, size in sizes.items() if count <= JOBS / 5), default=0.0)
    late = max(size for count, size in sizes.items() if count > JOBS * 4 / 5)
    print(f"\n{sum(statuses.values())} answers: {dict(statuses)}; {kills} kills; {early:.0f} → {late:.0f} MB")
    print(health.details)
    assert sum(statuses.values()) == JOBS
    assert statuses["ok"] > JOBS * 0.9
    assert late - early < FLAT


def _megabytes(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6
    except (OSError, ValueError, IndexError):
        return 0.0


async def test_ten_thousand_mixed_jobs() -> None:
    await run(killing=False)


async def test_ten_thousand_mixed_jobs_while_workers_are_killed() -> None:
    await run(killing=True)
