"""This project's queues, as `runtime/assembly` makes them, without the rest of an environment."""

from __future__ import annotations

from typing import Any

import uvloop

from benchmarks.queueing.harness import Payload, System, main
from runtime.plugins import Mark, Registry
from runtime.services.jobs.adapters.saq import SaqBackend
from runtime.services.jobs.ports import Draft
from runtime.services.jobs.service import JobQueues
from runtime.services.jobs.spec import QueueSpec
from runtime.services.jobs.worker import QueueWorker
from runtime.storage.remote import RemoteRedis

QUEUE = "bench"


class Ours(System):
    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self._spec = QueueSpec.model_validate(
            {"handler": "job", "concurrency": self.concurrency, "timeout": "10m", "lease": f"{self.lease:g}s"}
        )
        self._redis = RemoteRedis(self.url)
        self._instance = str(options.get("instance", ""))
        self._jobs: JobQueues
        self._worker: QueueWorker

    async def open(self) -> None:
        async def job(_: Any, payload: dict[str, Any]) -> None:
            await self.meter.run(Payload(**payload))

        await self._redis.start()
        backend = SaqBackend(self._redis.client, "rt:bench:", instance=self._instance)
        self._jobs = JobQueues({QUEUE: self._spec}, Registry([Mark("task", "job", job)]), backend)

    async def one(self, job: Payload) -> None:
        await self._jobs.enqueue(QUEUE, job._asdict())

    async def many(self, jobs: list[Payload]) -> None:
        await self._jobs.enqueue_all(QUEUE, [Draft(job._asdict()) for job in jobs])

    async def work(self) -> None:
        await self.open()
        self._worker = QueueWorker(QUEUE, self._spec, self._jobs)
        await self._worker.start()
        await self._worker.watch()

    async def resize(self, concurrency: int) -> None:
        await self._worker.update({"concurrency": concurrency})


if __name__ == "__main__":
    main(Ours, uvloop.run)
