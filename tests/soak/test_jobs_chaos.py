"""Twenty thousand jobs in a race, under killed workers and killed servers: every one is counted."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.conftest import Server
from tests.services.jobs.race import BASE, Workers, empty, fill, nothing_left, queues, race

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.soak

TOTAL = 20_000


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.start()
    yield server
    server.close()


async def test_race_of_twenty_thousand(server: Server, tmp_path: Path) -> None:
    begun = time.monotonic()
    seen = await race(server, tmp_path, TOTAL, random.Random(4711))
    print(f"\n{TOTAL} jobs in a race, {time.monotonic() - begun:.1f} s: {seen}")


async def test_workers_and_servers_are_killed(server: Server, tmp_path: Path) -> None:
    calm = await _drained(server, tmp_path, kills=0, crashes=0)
    wild = await _drained(server, tmp_path, kills=10, crashes=2)
    print(f"\n{TOTAL} jobs: {calm:.1f} s undisturbed, {wild:.1f} s under 10 killed workers and 2 killed servers")


async def _drained(server: Server, folder: Path, *, kills: int, crashes: int) -> float:
    """Seconds for all jobs, with kills spread over them."""
    section = {"concurrency": 100, "lease": "2s", "max_stalled": 50}
    client = server.client(retries=40)
    await client.flushall()
    jobs = queues(client, section)
    place = folder / f"kills-{kills}"
    place.mkdir()
    workers = Workers(server, place, section)
    await fill(jobs, range(TOTAL), pause=0.02)
    events = ["worker"] * kills + ["server"] * crashes
    chance = random.Random(4711)
    chance.shuffle(events)
    begun = time.monotonic()
    with workers.running(2):
        for number, event in enumerate(events, 1):
            await _await_ran(workers, TOTAL * number // (len(events) + 2))
            if event == "worker":
                await asyncio.to_thread(workers.kill, chance.randrange(2))
            else:
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
        await empty(jobs, 120)
        took = time.monotonic() - begun
    ran = workers.ran()
    assert set(ran) == set(range(TOTAL)), f"{TOTAL - len(ran)} were lost"
    twice = sum(times - 1 for times in ran.values())
    assert twice <= 100 * (kills + 2 * crashes), f"{twice} ran twice"
    view = await jobs.queue("q")
    assert (view.completed, view.dead) == (TOTAL, 0)
    await nothing_left(client)
    await client.aclose()
    return took


async def _await_ran(workers: Workers, count: int) -> None:
    async with asyncio.timeout(120):
        while len(workers.ran()) < count:
            await asyncio.sleep(0.02)


async def test_a_thousand_jobs_of_a_killed_worker_run_again(server: Server, tmp_path: Path) -> None:
    section = {"concurrency": 2_000, "lease": "10s"}
    client: Any = server.client()
    jobs = queues(client, section)
    await fill(jobs, range(1_000), pause=1.0, hang=str(tmp_path / "hang"))
    (tmp_path / "hang").touch()
    workers = Workers(server, tmp_path, section)
    with workers.running(1):
        async with asyncio.timeout(20):
            while await client.hlen(BASE + "held") < 1_000:
                await asyncio.sleep(0.05)
        (tmp_path / "hang").unlink()
        assert not workers.ran()
        begun = time.monotonic()
        await asyncio.to_thread(workers.kill, 0)
        await empty(jobs, 30)
        took = time.monotonic() - begun
    assert set(workers.ran()) == set(range(1_000))
    await client.aclose()
    assert took < 15
    print(f"\n1,000 jobs of a killed worker have run again after {took:.1f} s, lease 10 s")
