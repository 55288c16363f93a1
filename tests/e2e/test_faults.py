"""What is killed comes back, and every acknowledged job runs."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

import psutil
import pytest

from runtime.testing import RunningEnvironment, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    (tmp_path / "counting.py").write_text(TASKS)
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


class Load:
    """Posts jobs from several threads, and keeps the numbers that the server acknowledged."""

    THREADS = 4

    def __init__(self, environment: RunningEnvironment) -> None:
        self.acknowledged: list[int] = []
        self.refused = 0
        self._environment = environment
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._post, args=[first]) for first in range(self.THREADS)]

    def _post(self, first: int) -> None:
        for number in count(first, self.THREADS):
            if self._over.is_set():
                return
            try:
                answer = self._environment.post("/v1/queues/counted/jobs", {"payload": {"number": number}})
            except OSError:  # refused or cut off: not acknowledged
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


def test_the_embedded_server_is_killed_under_load(spec: Path, tmp_path: Path) -> None:
    counted = tmp_path / "counted"
    with running(spec, environ={"COUNTED": str(counted)}) as environment:
        load = Load(environment)
        with load.flowing():
            for _ in range(3):
                load.await_flow()
                victim = valkey_of(environment)
                victim.kill()
                psutil.wait_procs([victim], timeout=5)
                load.await_flow()
        ran = await_counted(counted, load.acknowledged)
        assert len(ran) >= len(load.acknowledged)
        assert environment.get("/readyz").status == 200


def test_sigkill_of_the_main_process_leaves_nothing_and_loses_nothing(spec: Path, tmp_path: Path) -> None:
    counted = tmp_path / "counted"
    state = tmp_path / "state"
    with running(spec, environ={"COUNTED": str(counted)}, state=state) as environment:
        family = psutil.Process(environment.process.pid).children(recursive=True)
        assert family
        load = Load(environment)
        with load.flowing():
            load.await_flow(100)
            environment.process.send_signal(signal.SIGKILL)
            environment.process.wait(5)
        _, alive = psutil.wait_procs(family, timeout=2)
        assert not alive, alive
    with running(spec, environ={"COUNTED": str(counted)}, state=state) as environment:
        await_counted(counted, load.acknowledged)
        assert environment.get("/v1/runtime").body["revision"] == 1  # the same spec is the same revision


def test_sigterm_in_full_flow_drains(spec: Path, tmp_path: Path) -> None:
    counted = tmp_path / "counted"
    state = tmp_path / "state"
    with running(spec, environ={"COUNTED": str(counted)}, state=state) as environment:
        load = Load(environment)
        with load.flowing():
            load.await_flow(100)
            assert environment.stop() == 0
        assert "Traceback" not in environment.output
    with running(spec, environ={"COUNTED": str(counted)}, state=state):
        ran = await_counted(counted, load.acknowledged)
    assert max(ran.values()) == 1  # a drained worker runs nothing twice


def test_keys_of_finished_work_expire(spec: Path, tmp_path: Path) -> None:
    import redis

    counted = tmp_path / "counted"
    with running(spec, environ={"COUNTED": str(counted)}) as environment:
        for number in range(5):
            assert environment.run_job("counted", {"number": number})["status"] == "completed"
        with redis.Redis(unix_socket_path=str(environment.state.redis / "valkey.sock")) as client:
            eternal = sorted(key.decode() for key in client.scan_iter() if client.ttl(key) == -1)
        jobs = [key for key in eternal if ":job:" in key]
        assert not jobs, f"keys of finished jobs without a time to live: {jobs}"


def test_it_comes_back_with_another_process_in_the_lock_file(spec: Path, tmp_path: Path) -> None:
    """A stale lock file of a dead process, whose id now belongs to somebody else, stops nobody."""
    state = tmp_path / "state"
    state.mkdir()
    (state / "lock").write_text(json.dumps({"pid": os.getpid()}))
    with running(spec, environ={"COUNTED": str(tmp_path / "c")}, state=state) as environment:
        assert environment.get("/readyz").status == 200
