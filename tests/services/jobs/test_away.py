"""A server that is away or hangs, and a loop that is blocked: seen from worker processes of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from runtime.errors import Unreachable
from tests.services.jobs.race import BASE, Workers, empty, fill, nothing_left, queues

if TYPE_CHECKING:
    from pathlib import Path

WATCHED = 3.0
"""Seconds for which the work of an idle process is measured."""


async def test_a_handler_that_blocks_the_loop_keeps_its_jobs(shared_server: Any, client: Any, tmp_path: Path) -> None:
    """Its lease is over twice in that time; another worker looks for jobs of the dead all the while."""
    section = {"concurrency": 20, "lease": "1s"}
    jobs = queues(client, section)
    workers = Workers(shared_server, tmp_path, section)
    with workers.running(2):
        await fill(jobs, range(2), block=2.5)
        await fill(jobs, range(2, 12), pause=0.1)
        await empty(jobs, 20)
        assert set(workers.ran().values()) == {1}
        assert len(workers.ran()) == 12
    assert not await client.exists(BASE + "stalls")


async def test_workers_cost_nothing_while_the_server_is_away_and_go_on_by_themselves(
    mortal_server: Any, tmp_path: Path
) -> None:
    section: dict[str, Any] = {"concurrency": 20, "lease": "1s"}
    workers = Workers(mortal_server, tmp_path, section)
    client = mortal_server.client()
    jobs = queues(client, section)
    with workers.running(1):
        await fill(jobs, range(50))
        await empty(jobs, 20)
        mortal_server.kill()
        begun = time.monotonic()
        with pytest.raises(Unreachable):
            await fill(jobs, range(50, 51))
        assert time.monotonic() - begun < 2
        await asyncio.sleep(1.5)  # the pauses have grown
        process = psutil.Process(workers.processes[0].pid)
        before = process.cpu_times()
        await asyncio.sleep(WATCHED)
        after = process.cpu_times()
        spent = after.user + after.system - before.user - before.system
        print(f"{100 * spent / WATCHED:.1f} % of a processor while the server is away")
        assert spent / WATCHED < 0.03  # about 1 %; the machine's own clock counts hundredths of a second
        await asyncio.to_thread(mortal_server.start)
        await fill(jobs, range(50, 100))
        await empty(jobs, 20)
    assert set(workers.ran()) == set(range(100))
    await client.aclose()


@pytest.mark.soak  # a quarter of a minute
async def test_a_server_that_hangs_loses_nothing(mortal_server: Any, tmp_path: Path) -> None:
    """Longer than a command is waited for: calls that were given up still reach the server when it comes back."""
    section = {"concurrency": 20, "lease": "1s", "max_stalled": 50}
    workers = Workers(mortal_server, tmp_path, section, each=2)
    client = mortal_server.client()
    jobs = queues(client, section)
    with workers.running(1):
        await fill(jobs, range(400), pause=0.05)
        server = mortal_server._process.pid
        os.kill(server, signal.SIGSTOP)
        try:
            with pytest.raises(Unreachable):
                await jobs.queue("q")
            await asyncio.sleep(6.0)
        finally:
            os.kill(server, signal.SIGCONT)
        await empty(jobs, 30)
    assert set(workers.ran()) == set(range(400))
    assert (await jobs.queue("q")).completed == 400
    await nothing_left(client)
    await client.aclose()
