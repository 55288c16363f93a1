"""Celery with Redis as its broker, late acknowledgement, no results; a thread a slot."""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery

from benchmarks.queueing.harness import Payload, System, main


class CelerySystem(System):
    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        logging.disable(logging.INFO)
        self._app = Celery("bench", broker=self.url)
        self._app.conf.update(
            task_ignore_result=True,
            task_acks_late=True,
            worker_prefetch_multiplier=4,
            worker_hijack_root_logger=False,
            broker_connection_retry_on_startup=True,
        )

        @self._app.task(name="job")
        def job(n: int, ts: float, ms: float) -> None:
            self.meter.run_in_thread(Payload(n, ts, ms))

        self._job = job

    async def one(self, job: Payload) -> None:
        self._job.delay(job.n, job.ts, job.ms)

    async def many(self, jobs: list[Payload]) -> None:
        with self._app.producer_pool.acquire(block=True) as producer:
            for job in jobs:
                self._job.apply_async(job, producer=producer)

    async def work(self) -> None:
        options = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "error")
        self._app.worker_main(["worker", "-P", "threads", "-c", str(self.concurrency), *options])


if __name__ == "__main__":
    main(CelerySystem)
