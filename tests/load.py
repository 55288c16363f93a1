"""Posted load on a running environment, and the count of what became of it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.client import HTTPException
from itertools import count
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtime.testing import RunningEnvironment

TASKS = """
import os
from runtime import JobContext, task

@task("count")
async def count(job: JobContext, payload: dict) -> None:
    with open(os.environ["COUNTED"], "a") as file:
        file.write(f"{payload['number']}\\n")
"""
SPEC = """
version: 1
name: faults
plugins: [counting]
storage: {redis: embedded}
api: {port: 0, rate_limit: 100000/m}
queues:
  counted: {handler: count, concurrency: 4, timeout: 10s, retry: {attempts: 5, backoff: 100ms}}
"""


def write_spec(folder: Path) -> Path:
    """A spec with one queue, whose task writes each job's number into the file `$COUNTED`."""
    (folder / "counting.py").write_text(TASKS)
    path = folder / "spec.yaml"
    path.write_text(SPEC)
    return path


class Load:
    """Posts jobs from several threads, and keeps the numbers that the server acknowledged."""

    THREADS = 4

    def __init__(self, environment: RunningEnvironment, *, first: int = 0) -> None:
        self.acknowledged: list[int] = []
        self.refused = 0
        self._environment = environment
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._post, args=[first + number]) for number in range(self.THREADS)]

    def _post(self, first: int) -> None:
        for number in count(first, self.THREADS):
            if self._over.is_set():
                return
            try:
                answer = self._environment.post("/v1/queues/counted/jobs", {"payload": {"number": number}})
            except (OSError, HTTPException):  # refused or cut off: not acknowledged
                self.refused += 1
                time.sleep(0.01)
                continue
            if answer.status == 202:
                self.acknowledged.append(number)
            else:
                self.refused += 1
                time.sleep(0.01)

    @contextmanager
    def flowing(self) -> Iterator[Load]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()

    def await_flow(self, count: int = 25, timeout: float = 15.0) -> float:
        """Waits until `count` further jobs are acknowledged; returns the seconds until the first of them."""
        start = time.monotonic()
        known = len(self.acknowledged)
        first = 0.0
        while len(self.acknowledged) < known + count:
            if not first and len(self.acknowledged) > known:
                first = time.monotonic() - start
            assert time.monotonic() - start < timeout, f"no flow; refused {self.refused}"
            time.sleep(0.005)
        return first


def await_counted(file: Path, numbers: list[int], timeout: float = 60.0) -> Counter[int]:
    deadline = time.monotonic() + timeout
    while True:
        counted = Counter(int(line) for line in file.read_text().split()) if file.exists() else Counter()
        missing = set(numbers) - set(counted)
        if not missing:
            return counted
        assert time.monotonic() < deadline, (
            f"{len(missing)} of {len(numbers)} acknowledged jobs never ran: {sorted(missing)[:10]}"
        )
        time.sleep(0.05)


def valkey_of(environment: RunningEnvironment) -> psutil.Process:
    children = psutil.Process(environment.process.pid).children(recursive=True)
    return next(child for child in children if "valkey" in child.name())
