"""Workers in a process of their own for the race and chaos tests.

Reads the concurrency from its standard input, a number a line, and ends with it. Writes each job that ends into a
file: its number and the process.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from runtime.plugins import Mark, Registry
from runtime.services.jobs.adapters.saq import SaqBackend
from runtime.services.jobs.service import JobQueues
from runtime.services.jobs.spec import QueueSpec
from runtime.services.jobs.worker import QueueWorker
from tests.wired import wired


async def main(socket: str, counted: str, section: dict[str, Any], workers: int) -> None:
    with Path(counted).open("ab", buffering=0) as file:

        async def count(job: Any, payload: dict[str, Any]) -> None:
            if Path(payload.get("hang", "/nowhere")).exists():  # in this life it is killed
                await asyncio.sleep(3600)
            if payload.get("block"):
                time.sleep(payload["block"])
            if payload.get("pause"):
                await asyncio.sleep(random.random() * payload["pause"])
            file.write(b"%d %d\n" % (payload["number"], os.getpid()))

        spec = QueueSpec.model_validate({"handler": "t", **section})
        client = wired(socket, patience=1.0)
        jobs = JobQueues({"q": spec}, Registry([Mark("task", "t", count)]), SaqBackend(client, "rt:test:"))
        running = [QueueWorker("q", spec, jobs) for _ in range(workers)]
        for worker in running:
            await worker.start()
        print("up", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            for worker in running:
                await worker.update({"concurrency": int(line)})
        for worker in running:
            await worker.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])))
