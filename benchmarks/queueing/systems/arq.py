"""arq with uvloop, results not kept, asking ten times as often as by default: its own pause would be its latency."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import uvloop
from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from arq.worker import Worker, func

from benchmarks.queueing.harness import Payload, System, main

SIDE_BY_SIDE = 200
POLL = 0.05


class Arq(System):
    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        logging.disable(logging.INFO)
        self._settings = RedisSettings(host="127.0.0.1", port=self.port)
        self._pool: ArqRedis

    async def open(self) -> None:
        self._pool = await create_pool(self._settings)

    async def one(self, job: Payload) -> None:
        await self._pool.enqueue_job("job", job.n, job.ts, job.ms)

    async def many(self, jobs: list[Payload]) -> None:
        for at in range(0, len(jobs), SIDE_BY_SIDE):
            await asyncio.gather(*(self.one(job) for job in jobs[at : at + SIDE_BY_SIDE]))

    async def work(self) -> None:
        async def job(_: Any, n: int, ts: float, ms: float) -> None:
            await self.meter.run(Payload(n, ts, ms))

        worker = Worker(
            functions=[func(job, name="job", keep_result=0)],
            redis_settings=self._settings,
            max_jobs=self.concurrency,
            poll_delay=POLL,
            handle_signals=False,
        )
        await worker.async_run()


if __name__ == "__main__":
    main(Arq, uvloop.run)
