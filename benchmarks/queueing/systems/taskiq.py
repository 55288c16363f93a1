"""taskiq over a list in Redis, its fastest broker, without a result backend; receiver and jobs in one process."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvloop
from taskiq.receiver import Receiver
from taskiq.serializers import ORJSONSerializer
from taskiq_redis import ListQueueBroker

from benchmarks.queueing.harness import Payload, System, main

SIDE_BY_SIDE = 200


class Taskiq(System):
    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        logging.disable(logging.INFO)
        self._broker = ListQueueBroker(self.url).with_serializer(ORJSONSerializer())

        @self._broker.task(task_name="job")
        async def job(n: int, ts: float, ms: float) -> None:
            await self.meter.run(Payload(n, ts, ms))

        self._job = job

    async def open(self) -> None:
        await self._broker.startup()

    async def one(self, job: Payload) -> None:
        await self._job.kiq(job.n, job.ts, job.ms)

    async def many(self, jobs: list[Payload]) -> None:
        for at in range(0, len(jobs), SIDE_BY_SIDE):
            await asyncio.gather(*(self.one(job) for job in jobs[at : at + SIDE_BY_SIDE]))

    async def work(self) -> None:
        self._broker.is_worker_process = True
        await self._broker.startup()
        with ThreadPoolExecutor(2) as executor:
            receiver = Receiver(self._broker, executor=executor, max_async_tasks=self.concurrency, run_startup=False)
            await receiver.listen(asyncio.Event())


if __name__ == "__main__":
    main(Taskiq, uvloop.run)
