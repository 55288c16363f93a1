"""dramatiq with its Redis broker; a thread a slot, and no middleware that the work does not need."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.queueing.harness import Payload, System, main


class Dramatiq(System):
    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        logging.disable(logging.INFO)
        self._broker = RedisBroker(host="127.0.0.1", port=self.port, middleware=[dramatiq.middleware.Retries()])
        dramatiq.set_broker(self._broker)

        def job(n: int, ts: float, ms: float) -> None:
            self.meter.run_in_thread(Payload(n, ts, ms))

        self._job = dramatiq.actor(job, actor_name="job")

    async def one(self, job: Payload) -> None:
        self._job.send(job.n, job.ts, job.ms)

    async def work(self) -> None:
        dramatiq.Worker(self._broker, worker_threads=self.concurrency).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    main(Dramatiq)
