"""What is killed comes back, and every acknowledged job runs."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from runtime.testing import running
from tests.load import Load, await_counted, valkey_of, write_spec

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    return write_spec(tmp_path)


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
                assert load.await_flow() < 2.0  # back, and taking jobs
        ran = await_counted(counted, load.acknowledged)
        assert len(ran) >= len(load.acknowledged)
        deadline = time.monotonic() + 10
        while environment.get("/readyz").status != 200:  # what it says of the storage is a moment old
            assert time.monotonic() < deadline
            time.sleep(0.05)


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
