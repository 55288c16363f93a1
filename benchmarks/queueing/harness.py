"""What every Python system does alike: takes orders on standard input, answers on standard output.

Runs in the environments of the peers, so it needs nothing but the standard library. `systems/bullmq.mjs` does the same
in JavaScript.

A job's payload is `n` (its number), `ts` (when it was enqueued; 0 where nobody asks) and `ms` (how long it works; 0 for
a job that does nothing). Jobs with a negative number are counted nowhere.

A producer takes `{"do": "bulk", "first": 0, "count": 1000, "ms": 0}` and `{"do": "steady", "count": 600, "rate": 100}`
and answers `{"seconds": …}`. A worker says `{"said": "warm"}` after a job with a negative number and
`{"said": "done", …}` after `expect` others, and takes `{"do": "resize", "to": 1000}`, which it answers
with `resized` or `refused`. With `journal` it notes in a file
each job's begin and end, which the page cache keeps when the process is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import threading
import time
from typing import Any, NamedTuple

CHUNK = 1_000
"""Jobs of a bulk that are handed over together."""


class Payload(NamedTuple):
    n: int
    ts: float = 0.0
    ms: float = 0.0


class Meter:
    """Notes the jobs that run in this process; for any thread.

    Args:
        expect: after so many jobs it tells.
        journal: a file for begin and end of each, or empty.
    """

    def __init__(self, expect: int, journal: str) -> None:
        self._expect = expect
        self._file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT) if journal else None
        self._lock = threading.Lock()
        self._count = 0
        self._began = self._cpu = 0.0
        self._latencies: list[float] = []

    async def run(self, job: Payload) -> None:
        self.begin(job)
        if job.ms:
            await asyncio.sleep(job.ms / 1000)
        self.end(job)

    def run_in_thread(self, job: Payload) -> None:
        self.begin(job)
        if job.ms:
            time.sleep(job.ms / 1000)
        self.end(job)

    def begin(self, job: Payload) -> None:
        now = time.time()
        if self._file is not None:
            os.write(self._file, b"b %d %.6f\n" % (job.n, now))
        if job.n < 0:
            return
        with self._lock:
            if self._began == 0.0:
                self._began, self._cpu = now, _cpu()
            self._count += 1
            if job.ts:
                self._latencies.append((now - job.ts) * 1000)
            last = self._count == self._expect
        if last:
            spent = {"seconds": now - self._began, "cpu": _cpu() - self._cpu}
            say({"said": "done", "count": self._count, "latencies": self._latencies, **spent})

    def end(self, job: Payload) -> None:
        if job.n < 0:
            say({"said": "warm"})
        elif self._file is not None:
            os.write(self._file, b"e %d %.6f\n" % (job.n, time.time()))


class System:
    """One system; a file of `systems/` says how it enqueues and works.

    Args:
        options: `port` of the server, `concurrency`, `lease` (seconds after which a lost job may be found), and the
            meter's `expect` and `journal`.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.port = int(options["port"])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.concurrency = int(options.get("concurrency", 100))
        self.lease = float(options.get("lease", 10))
        self.meter = Meter(int(options.get("expect", 0)), str(options.get("journal", "")))

    async def open(self) -> None:
        """Makes ready to enqueue."""

    async def one(self, job: Payload) -> None:
        """Enqueues a job."""
        raise NotImplementedError

    async def many(self, jobs: list[Payload]) -> None:
        """Enqueues jobs in the fastest way that the system has."""
        await asyncio.gather(*(self.one(job) for job in jobs))

    async def work(self) -> None:
        """Runs jobs until the process is killed."""
        raise NotImplementedError

    async def resize(self, concurrency: int) -> None:
        """Changes the number of jobs at once, without a restart."""
        raise NotImplementedError


def say(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def main(kind: type[System], runner: Any = None) -> None:
    """Runs a system in the role that the command line names.

    Args:
        runner: what runs a coroutine, as `asyncio.run` does.
    """
    role, options = sys.argv[1], json.loads(sys.argv[2])
    (runner or asyncio.run)(_produce(kind, options) if role == "producer" else _work(kind, options))


async def _produce(kind: type[System], options: dict[str, Any]) -> None:
    system = kind(options)
    await system.open()
    say({"said": "open"})
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        if order["do"] == "bulk":
            say(await _bulk(system, order))
        else:
            say(await _steady(system, order))


async def _bulk(system: System, order: dict[str, Any]) -> dict[str, Any]:
    jobs = [Payload(n, 0.0, order["ms"]) for n in range(order["first"], order["first"] + order["count"])]
    begin = time.perf_counter()
    for at in range(0, len(jobs), CHUNK):
        await system.many(jobs[at : at + CHUNK])
    return {"seconds": time.perf_counter() - begin}


async def _steady(system: System, order: dict[str, Any]) -> dict[str, Any]:
    begin = time.perf_counter()
    for n in range(order["count"]):
        while (left := begin + n / order["rate"] - time.perf_counter()) > 0:
            await asyncio.sleep(left)
        await system.one(Payload(n, time.time()))
    return {"seconds": time.perf_counter() - begin}


async def _work(kind: type[System], options: dict[str, Any]) -> None:
    system = kind(options)
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def resize(to: int) -> None:
        try:
            await system.resize(to)
            say({"said": "resized"})
        except NotImplementedError:
            say({"said": "refused"})

    def listen() -> None:
        while line := sys.stdin.readline():
            to = int(json.loads(line)["to"])
            loop.call_soon_threadsafe(lambda to=to: tasks.add(loop.create_task(resize(to))))  # type: ignore[misc]
        os._exit(0)  # whoever measures has gone

    threading.Thread(target=listen, daemon=True).start()
    await system.work()


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
