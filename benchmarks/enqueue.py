"""Jobs from another program: what a call of the clients costs, beside SAQ's and BullMQ's straight to Redis.

    python benchmarks/enqueue.py

A whole environment as `runtime apply` runs it, its queue paused, so that storing alone is measured. SAQ's queue is
opened on the server of that environment.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from redis.asyncio import Redis
from saq.queue.redis import RedisQueue

from runtime import Client, SyncClient
from runtime.testing import running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROUNDS, CALLS, BATCHES, MANY = 5, 500, 10, 1_000
SPEC = (
    "version: 1\nname: enqueue\nplugins: [bench_tasks]\napi: {rate_limit: 1000000/s}\nqueues: {jobs: {handler: note}}\n"
)
TASKS = 'from runtime import task\n\n@task("note")\nasync def note(job, payload: dict):\n    return None\n'
PAYLOAD = {"image": "cat.png", "width": 80}


async def each(call: Callable[[], Awaitable[Any]], times: int) -> list[float]:
    """Milliseconds of each call, one after the other."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        await call()
        taken.append((time.perf_counter() - begun) * 1000)
    return taken


async def at_once(call: Callable[[], Awaitable[Any]], times: int) -> float:
    """Calls a second, sixteen under way."""
    left = iter(range(times))

    async def one() -> None:
        for _ in left:
            await call()

    begun = time.perf_counter()
    await asyncio.gather(*[one() for _ in range(16)])
    return times / (time.perf_counter() - begun)


def shown(name: str, values: list[float], unit: str) -> None:
    middle = statistics.median(values)
    print(f"  {name:<44} {middle:>10,.2f} {unit} ({min(values):,.2f}–{max(values):,.2f})", flush=True)


async def measure(url: str, key: str, socket: Path) -> None:
    saq = RedisQueue(Redis.from_url(f"unix://{socket}"), name="bench")
    await saq.connect()
    figures: dict[tuple[str, str], list[float]] = {}

    def note(name: str, unit: str, value: float) -> None:
        figures.setdefault((name, unit), []).append(value)

    async with Client(url=url, api_key=key) as client, Client(url=url, api_key=key, patience=30) as patient:
        with SyncClient(url=url, api_key=key) as plain:
            singles = {
                "Client.enqueue": lambda: client.enqueue("jobs", PAYLOAD),
                "Client.enqueue with patience": lambda: patient.enqueue("jobs", PAYLOAD),
                "SAQ's Queue.enqueue": lambda: saq.enqueue("note", **PAYLOAD),
            }
            for _ in range(ROUNDS):
                for name, call in singles.items():
                    note(f"{name}, p50", "ms", statistics.median(await each(call, CALLS)))
                begun = time.perf_counter()
                for _ in range(CALLS):
                    plain.enqueue("jobs", PAYLOAD)
                note("SyncClient.enqueue, mean", "ms", (time.perf_counter() - begun) / CALLS * 1000)
                for name, call in singles.items():
                    note(f"{name}, 16 at once", "/s", await at_once(call, CALLS))
                batch = [PAYLOAD] * MANY
                taken = await each(lambda batch=batch: client.enqueue_all("jobs", batch), BATCHES)  # type: ignore[misc]
                note("Client.enqueue_all, batches of 1,000", "jobs/s", MANY * BATCHES / sum(taken) * 1000)
    await saq.disconnect()
    for (name, unit), values in figures.items():
        shown(name, values, unit)


def main() -> None:
    with TemporaryDirectory(prefix="runtime-bench-") as folder:
        spec = Path(folder, "spec.yaml")
        spec.write_text(SPEC)
        Path(folder, "bench_tasks.py").write_text(TASKS)
        with running(spec) as environment:
            environment.post("/v1/queues/jobs/pause", {})
            asyncio.run(measure(environment.url, environment.key, environment.state.redis / "valkey.sock"))


if __name__ == "__main__":
    main()
