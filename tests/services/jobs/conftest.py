"""A small environment of queues: what the tests of jobs build on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest

from runtime.plugins import Mark, Registry
from runtime.services.jobs.adapters.saq import SaqBackend
from runtime.services.jobs.service import JobQueues
from runtime.services.jobs.spec import QueueSpec
from runtime.services.jobs.worker import QueueWorker

if TYPE_CHECKING:
    from runtime.services.jobs.ports import JobView
    from runtime.storage.wire import WiredRedis

ENDED = ("completed", "failed", "cancelled")


class Bench:
    """Queues over a server, and workers that are stopped at the end.

    Args:
        client: of the server.
        queues: section by name; `retry` pauses are short unless given.
        tasks: function by handler name.
    """

    def __init__(
        self,
        client: WiredRedis,
        queues: dict[str, Any],
        tasks: dict[str, Callable[..., Any]],
        instance: str,
    ) -> None:
        self.specs = {
            name: QueueSpec.model_validate({"retry": {"backoff": "20ms", "jitter": False}, "drain": "2s", **section})
            for name, section in queues.items()
        }
        marks = [Mark("task", name, function) for name, function in tasks.items()]
        self.backend = SaqBackend(client, "rt:test:", instance=instance)
        self.jobs = JobQueues(self.specs, Registry(marks), self.backend)
        self.workers: list[QueueWorker] = []

    async def work(self, queue: str = "q") -> QueueWorker:
        """Starts a worker."""
        worker = QueueWorker(queue, self.specs[queue], self.jobs)
        await worker.start()
        self.workers.append(worker)
        return worker

    async def ended(self, *jobs: JobView, timeout: float = 15.0) -> list[JobView]:
        """Waits until jobs have ended."""
        async with asyncio.timeout(timeout):
            return [await self._ended(job) for job in jobs]

    async def _ended(self, job: JobView) -> JobView:
        while (seen := await self.jobs.get(job.id)).status not in ENDED:
            await asyncio.sleep(0.01)
        return seen


Build = Callable[..., Bench]


@pytest.fixture
async def bench(client: WiredRedis) -> AsyncIterator[Build]:
    """Makes a `Bench` of one queue `q` with the task `t`: `bench(function, timeout="1s")`."""
    made: list[Bench] = []

    def build(
        function: Callable[..., Any],
        *,
        over: WiredRedis | None = None,
        instance: str = "",
        **section: Any,
    ) -> Bench:
        made.append(Bench(over or client, {"q": {"handler": "t", **section}}, {"t": function}, instance))
        return made[-1]

    yield build
    for each in made:
        for worker in each.workers:
            await worker.stop()
