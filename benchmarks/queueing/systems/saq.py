"""Stock SAQ, with uvloop and orjson; it logs a line a job, which is turned off.

It has no bulk call: jobs are enqueued side by side. To find the jobs of a killed worker, they carry a heartbeat and the
sweep comes each second; by its defaults such jobs are never found.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import orjson
import uvloop
from saq import Queue, Worker

from benchmarks.queueing.harness import Payload, System, main

SIDE_BY_SIDE = 500


class Saq(System):
    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        logging.disable(logging.INFO)
        dumping: Any = {"dump": orjson.dumps, "load": orjson.loads}
        self._queue = Queue.from_url(self.url, name="bench", max_concurrent_ops=50, **dumping)
        self._heartbeat = int(self.lease) if options.get("heartbeat") else 0

    async def one(self, job: Payload) -> None:
        await self._queue.enqueue(
            "job", n=job.n, ts=job.ts, ms=job.ms, timeout=600, retries=5, heartbeat=self._heartbeat
        )

    async def many(self, jobs: list[Payload]) -> None:
        for at in range(0, len(jobs), SIDE_BY_SIDE):
            await asyncio.gather(*(self.one(job) for job in jobs[at : at + SIDE_BY_SIDE]))

    async def work(self) -> None:
        async def job(context: Any, *, n: int, ts: float, ms: float) -> None:
            beating = asyncio.create_task(_beat(context["job"], self._heartbeat)) if self._heartbeat and ms else None
            await self.meter.run(Payload(n, ts, ms))
            if beating:
                beating.cancel()

        timers: Any = {"schedule": 1, "stats": 10, "sweep": 1 if self._heartbeat else 60, "abort": 1}
        worker: Any = Worker(self._queue, functions=[("job", job)], concurrency=self.concurrency, timers=timers)
        await worker.start()


async def _beat(job: Any, heartbeat: int) -> None:
    while True:
        await asyncio.sleep(heartbeat / 3)
        await job.update()


if __name__ == "__main__":
    main(Saq, uvloop.run)
