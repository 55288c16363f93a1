"""Rows on speed: enqueued and drained jobs, the server's work for them, latency."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.queueing.processes import Child
from benchmarks.queueing.server import Server

if TYPE_CHECKING:
    from benchmarks.queueing.peers import System

PATIENCE = 240.0
SETTLING = 0.3
WARM_UP = 30.0

Figures = dict[str, float]


def drain(system: System, *, jobs: int, concurrency: int, append_only: bool) -> Figures:
    """Jobs a second into a queue that nobody works on, and out of it by one worker process.

    The worker's clock runs from its first job to its last. The server's work is measured around the worker alone.
    """
    with Server(append_only=append_only) as server:
        with Child(system, "producer", server) as producer:
            producer.hear(PATIENCE)
            filled = producer.ask(PATIENCE, do="bulk", first=0, count=jobs, ms=0)
        before = server.work()
        with Child(system, "worker", server, concurrency=concurrency, expect=jobs) as worker:
            done = worker.hear_of("done", PATIENCE)
            time.sleep(SETTLING)  # the last finishes are still on their way
            after = server.work()
    return {
        "drained a second": jobs / done["seconds"],
        "enqueued in bulk a second": jobs / filled["seconds"],
        "server CPU a job, µs": (after.cpu - before.cpu) * 1e6 / jobs,
        "round trips a job": (after.reads - before.reads) / jobs,
        "commands a job": (after.commands - before.commands) / jobs,
        "worker CPU a job, µs": done["cpu"] * 1e6 / jobs,
    }


def latency(system: System, *, jobs: int, rate: float, concurrency: int) -> Figures:
    """Milliseconds from the call that enqueues to the first line of the job, at a steady rate."""
    with (
        Server(append_only=False) as server,
        Child(system, "producer", server) as producer,
        Child(system, "worker", server, concurrency=concurrency, expect=jobs) as worker,
    ):
        producer.hear(PATIENCE)
        producer.ask(PATIENCE, do="bulk", first=-1, count=1, ms=0)
        worker.hear_of("warm", WARM_UP)
        producer.ask(PATIENCE, do="steady", count=jobs, rate=rate)
        taken = sorted(worker.hear_of("done", WARM_UP)["latencies"])
    return {"p50, ms": quantile(taken, 0.5), "p99, ms": quantile(taken, 0.99)}


def quantile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
