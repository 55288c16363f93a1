"""Races and chaos on one queue: worker processes, and the count of what became of every job."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.errors import Conflict, NotFound
from runtime.plugins import Mark, Registry
from runtime.services.jobs.adapters.saq import SaqBackend
from runtime.services.jobs.ports import Draft
from runtime.services.jobs.service import JobQueues
from runtime.services.jobs.spec import QueueSpec

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from runtime.storage.wire import WiredRedis
    from tests.services.conftest import Server

PROCESS = Path(__file__).with_name("race_process.py")
BASE = "rt:test:{jobs.q}:"
BATCH = 500


async def no_task(job: Any, payload: dict[str, Any]) -> None: ...


class Workers:
    """Worker processes on a server.

    Args:
        section: of the queue.
        each: workers in each process.
    """

    def __init__(self, server: Server, folder: Path, section: dict[str, Any], *, each: int = 1) -> None:
        self.counted = folder / "counted"
        self.counted.touch()
        self._command = [
            sys.executable,
            str(PROCESS),
            str(server.socket),
            str(self.counted),
            json.dumps(section),
            str(each),
        ]
        self.processes: list[subprocess.Popen[str]] = []

    @contextlib.contextmanager
    def running(self, count: int) -> Iterator[Workers]:
        try:
            for _ in range(count):
                self.start()
            yield self
            for process in self.processes:
                self._stdin(process).close()
            for process in self.processes:
                assert process.wait(30) == 0
        finally:
            for process in self.processes:
                process.kill()
                process.wait()
                for pipe in (process.stdin, process.stdout):
                    if pipe is not None:
                        pipe.close()

    def start(self) -> None:
        process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"

    def kill(self, number: int) -> None:
        """One ends as in a crash, another one begins."""
        process = self.processes.pop(number)
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        self.start()

    def resize(self, number: int, concurrency: int) -> None:
        pipe = self._stdin(self.processes[number])
        pipe.write(f"{concurrency}\n")
        pipe.flush()

    def ran(self) -> Counter[int]:
        """How often each job has run to its end."""
        lines = self.counted.read_text().splitlines()
        return Counter(int(line.split()[0]) for line in lines)

    @staticmethod
    def _stdin(process: subprocess.Popen[str]) -> Any:
        assert process.stdin is not None
        return process.stdin


def queues(client: WiredRedis, section: dict[str, Any]) -> JobQueues:
    """The queue, for the one who puts jobs in."""
    spec = QueueSpec.model_validate({"handler": "t", **section})
    return JobQueues({"q": spec}, Registry([Mark("task", "t", no_task)]), SaqBackend(client, "rt:test:"))


async def fill(jobs: JobQueues, numbers: range, **payload: Any) -> list[str]:
    """Puts numbered jobs in; their ids."""
    ids: list[str] = []
    for first in range(numbers.start, numbers.stop, BATCH):
        drafts = [
            Draft({"number": number, **payload}, priority=number % 3, group=f"g{number % 5}")
            for number in range(first, min(first + BATCH, numbers.stop))
        ]
        ids += [job.id for job in await jobs.enqueue_all("q", drafts)]
    return ids


async def empty(jobs: JobQueues, timeout: float) -> float:
    """Waits until nothing waits or runs any more; the seconds that it took."""
    begun = time.monotonic()
    while (view := await jobs.queue("q")).waiting or view.running or view.scheduled or view.resting:
        assert time.monotonic() - begun < timeout, f"stuck: {view}"
        await asyncio.sleep(0.05)
    return time.monotonic() - begun


async def race(server: Server, folder: Path, total: int, chance: random.Random) -> dict[str, int]:
    """Runs jobs under cancels, resizes and pauses in several processes, and counts every one of them."""
    section = {"concurrency": 50, "lease": "1s", "groups": {"concurrency": 40}, "keep": 0, "max_stalled": 50}
    client = server.client(retries=3)
    jobs = queues(client, section)
    workers = Workers(server, folder, section, each=2)
    cancelled: set[int] = set()
    told: set[int] = set()
    with workers.running(2):
        ids: list[str] = []
        over = asyncio.Event()

        async def disturb() -> None:
            while not over.is_set():
                what = chance.choice(["cancel", "cancel", "resize", "pause", "rest"])
                if what == "resize":
                    workers.resize(chance.randrange(2), chance.randint(1, 200))
                elif what == "pause":
                    await jobs.pause("q")
                    await asyncio.sleep(0.02)
                    await jobs.resume("q")
                elif ids:
                    number = len(ids) - 1 - chance.randrange(min(len(ids), BATCH))  # most of these wait yet
                    with contextlib.suppress(Conflict, NotFound):
                        if what == "cancel":
                            view = await jobs.cancel(ids[number])
                            (cancelled if view.status == "cancelled" else told).add(number)
                        elif (await jobs.rest(ids[number])).status == "paused":
                            await jobs.wake(ids[number])
                await asyncio.sleep(0.002)

        disturbing = asyncio.create_task(disturb())
        for first in range(0, total, BATCH):
            ids += await fill(jobs, range(first, min(first + BATCH, total)), pause=0.01)
        while (await jobs.queue("q")).waiting > total // 10:
            await asyncio.sleep(0.05)
        over.set()
        await disturbing
        for name in await client.zrange(BASE + "resting", 0, -1):  # one that was paused just while it ran
            await jobs.wake(name.decode())
        await empty(jobs, 60)
        for name in await client.zrange(BASE + "resting", 0, -1):
            await jobs.wake(name.decode())
        await empty(jobs, 60)
    ran = workers.ran()
    lost = set(range(total)) - set(ran) - cancelled - told
    twice = {number: times for number, times in ran.items() if times > 1}
    assert not lost, f"{len(lost)} lost: {sorted(lost)[:10]}"
    assert not twice, f"run twice: {twice}"
    assert not cancelled & set(ran), f"cancelled and run: {cancelled & set(ran)}"
    view = await jobs.queue("q")
    assert view.completed + view.cancelled == total
    assert view.completed == len(ran)
    await nothing_left(client)
    await client.aclose()
    return {"run": len(ran), "cancelled": view.cancelled, "cancelled while they ran": len(told)}


async def nothing_left(client: WiredRedis, also: Sequence[str] = ()) -> None:
    """What lives on is what lives as long as the queue."""
    known = {"turns", "workers", "pulse", "stats", "ended", "dead", "wake", *also}
    left = {key.decode().removeprefix(BASE) async for key in client.scan_iter(match=BASE + "*", count=1000)}
    eternal = {name for name in left - known if await client.ttl(BASE + name) == -1}
    assert not eternal, f"left over: {sorted(eternal)[:10]}"
