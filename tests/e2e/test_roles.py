"""An environment in several processes: an API, and workers that come, go and are killed."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from runtime.testing import RunningEnvironment, running

if TYPE_CHECKING:
    from pathlib import Path

TASKS = """
import asyncio, os
from runtime import JobContext, task

@task("where")
async def where(job: JobContext, payload: dict) -> int:
    if payload.get("waits"):
        await job.progress(0.5, str(os.getpid()))
        while os.path.exists(payload["waits"]):
            await asyncio.sleep(0.02)
    return os.getpid()
"""
SPEC = """
version: 1
name: roles
plugins: [roles]
storage: {redis: "%s"}
api: {port: 0}
queues:
  left: {handler: where, lease: 1s}
  right: {handler: where, lease: 1s}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    (tmp_path / "roles.py").write_text(TASKS)
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC % "embedded")
    return path


def test_workers_beside_an_api_run_its_jobs_and_take_over_from_a_killed_one(spec: Path, tmp_path: Path) -> None:
    state, stone = tmp_path / "state", tmp_path / "stone"
    stone.touch()
    with running(spec, state=state, role="api") as api:
        waiting = api.post("/v1/queues/left/jobs", {"payload": {}}).body
        assert api.get("/v1/queues/left").body["workers"] == 0
        with running(spec, state=state, role="worker", queues=["left"]) as first:
            assert api.wait_for_job(waiting["id"])["result"] == first.process.pid
            other = api.post("/v1/queues/right/jobs", {"payload": {}}).body  # nobody runs that queue yet
            held = api.post("/v1/queues/left/jobs", {"payload": {"waits": str(stone)}}).body
            _await(api, held["id"], message=str(first.process.pid))
            assert api.get(f"/v1/jobs/{other['id']}").body["status"] == "queued"
            with running(spec, state=state, role="worker") as second:
                assert api.wait_for_job(other["id"])["result"] == second.process.pid
                first.process.kill()
                first.process.wait()
                _await(api, held["id"], message=str(second.process.pid))
                stone.unlink()
                ended = api.wait_for_job(held["id"])
                assert (ended["result"], ended["attempts"]) == (second.process.pid, 1)
                assert second.stop() == 0
        left = api.post("/v1/queues/left/jobs", {"payload": {}}).body
        assert api.get("/readyz").status == 200
        with running(spec, state=state, role="worker", queues=["right", "left"]) as third:
            assert api.wait_for_job(left["id"])["result"] == third.process.pid


def _await(api: RunningEnvironment, job_id: str, **wanted: Any) -> None:
    deadline = time.monotonic() + 20
    while not wanted.items() <= (job := api.get(f"/v1/jobs/{job_id}").body).items():
        assert time.monotonic() < deadline, job
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--role", "worker", "--queues", "lfet"], 'no queue "lfet"'),
        (["--role", "worker", "--queues", ","], "--queues names no queue"),
        (["--queues", "left"], "--queues chooses the queues of a worker"),
    ],
)
def test_a_wrong_part_is_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "roles.py").write_text(TASKS)
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC % "redis://127.0.0.1:1/0")
    command = [sys.executable, "-m", "runtime", "apply", str(path), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
