"""10,000 mixed jobs, also while workers are killed at random: memory stays flat, and no answer is lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter

import pytest

from runtime.services.sandbox.service import SandboxService
from runtime.services.sandbox.spec import SandboxSpec
from tests.services.sandbox.conftest import bundle
from tests.services.sandbox.probes import javascript, python

pytestmark = pytest.mark.soak

JOBS = 10_000
AT_ONCE = 8
CALLERS = 5
FLAT = 20
"""Megabytes by which the largest resting worker may be larger in the last fifth of a run than in its first."""
LARGEST = {"javascript": 100, "python": 220}
"""Megabytes that a worker may have when it is ready for a job."""


async def run(*, killing: bool) -> None:
    bundle()
    chance = random.Random(4711)
    hostile = {
        "javascript": [
            code for name, code in javascript.PROBES.items() if name.startswith(("poison", "reach", "heap"))
        ],
        "python": [code for name, code in python.PROBES.items() if name.startswith(("poison", "reach", "memory"))],
    }
    # Where none is killed, none is replaced either but by what a job did to it: 10,000 jobs are to leave nothing.
    recycle = 1000 if killing else 10 * JOBS
    sandbox = SandboxService(SandboxSpec.model_validate({"languages": ["javascript", "python"], "recycle": recycle}))
    await sandbox.start()
    while not (await sandbox.health()).details["python"].get("workers"):
        await asyncio.sleep(0.05)
    numbers = iter(range(JOBS))
    statuses: Counter[str] = Counter()
    sizes: list[tuple[int, str, float]] = []
    jobs = 0
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
        nonlocal jobs, kills
        while True:
            await asyncio.sleep(1)
            alive = sandbox.processes()
            workers = [
                (language, worker)
                for language, pool in sandbox._pools.items()
                for worker in pool.crew._workers
                if worker.status in ("idle", "processing")
            ]
            sizes.extend((sum(statuses.values()), language, worker.size / 1e6) for language, worker in workers)
            jobs = max([jobs, *(worker.jobs for _, worker in workers)])
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
    print(f"\n{sum(statuses.values())} answers: {dict(statuses)}; {kills} kills; {jobs} jobs of one worker")
    print(health.details)
    assert sum(statuses.values()) == JOBS
    assert statuses["ok"] > JOBS * 0.9
    for language, largest in LARGEST.items():
        early = max((size for count, name, size in sizes if name == language and count <= JOBS / 5), default=0.0)
        late = max(size for count, name, size in sizes if name == language and count > JOBS * 4 / 5)
        most = max(size for _, name, size in sizes if name == language)
        print(f"{language}: {early:.0f} → {late:.0f} MB, at most {most:.0f}")
        assert late - early < FLAT
        assert most <= largest


async def test_ten_thousand_mixed_jobs() -> None:
    await run(killing=False)


async def test_ten_thousand_mixed_jobs_while_workers_are_killed() -> None:
    await run(killing=True)
