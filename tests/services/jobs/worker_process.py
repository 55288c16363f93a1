"""A worker in a process of its own, to be killed: counts the jobs that it runs in a file."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from runtime.plugins import Mark, Registry
from runtime.services.jobs.adapters.saq import SaqBackend
from runtime.services.jobs.service import JobQueues
from runtime.services.jobs.spec import QueueSpec
from runtime.services.jobs.worker import QueueWorker
from tests.wired import wired


async def main(socket: str, counted: Path, instance: str) -> None:
    async def count(job: Any, payload: dict[str, Any]) -> None:
        await asyncio.sleep(0.005)
        with counted.open("a") as file:
            file.write(f"{payload['number']}\n")

    spec = QueueSpec.model_validate({"handler": "t", "concurrency": 8, "lease": "1s"})
    client = wired(socket)
    backend = SaqBackend(client, "rt:test:", instance=instance)
    jobs = JobQueues({"q": spec}, Registry([Mark("task", "t", count)]), backend)
    worker = QueueWorker("q", spec, jobs)
    await worker.start()
    await worker.watch()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
