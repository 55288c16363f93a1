"""`runtime jobs`, through the real command against a running environment."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from runtime.testing import RunningEnvironment, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TASKS = """
import asyncio
from runtime import Reject, task

@task("work")
async def work(job, payload: dict):
    if payload.get("fail"):
        raise Reject("it was told to")
    await job.progress(0.5)
    if payload.get("endless"):
        await asyncio.sleep(3600)
    await asyncio.sleep(payload.get("seconds", 0))
    return {"sum": sum(payload.get("numbers", []))}
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEnvironment]:
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "spec.yaml").write_text(
        "version: 1\nname: jobs\nplugins: [jobs_command_tasks]\n"
        "queues:\n  chores: {handler: work}\n  other: {handler: work}\n"
    )
    (folder / "jobs_command_tasks.py").write_text(TASKS)
    with running(folder / "spec.yaml") as environment:
        yield environment


@pytest.fixture(scope="module")
def spec(environment: RunningEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec that names the state folder of the environment."""
    file = tmp_path_factory.mktemp("spec") / "spec.yaml"
    file.write_text(f"version: 1\nname: jobs\nstorage: {{path: {environment.state.path}}}\n")
    return file


def jobs(*arguments: Any, code: int = 0) -> str:
    """What the command prints: on standard output, or of a failure on standard error."""
    command = [sys.executable, "-m", "runtime", "jobs", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == code, done.stderr
    return done.stderr if code and not done.stdout else done.stdout


def data(*arguments: Any, code: int = 0) -> Any:
    return json.loads(jobs(*arguments, "--json", code=code))


def test_a_job_is_put_in_waited_for_and_shown(spec: Path, tmp_path: Path) -> None:
    job = data("enqueue", spec, "chores", "--payload", '{"numbers": [1, 2]}', "--wait")
    assert (job["status"], job["result"]) == ("completed", {"sum": 3})
    file = tmp_path / "payload.json"
    file.write_text('{"numbers": [5]}')
    assert "completed" in jobs("enqueue", spec, "chores", "--payload", f"@{file}", "--wait")
    shown = jobs("show", spec, job["id"])
    assert job["id"] in shown
    assert '{"sum": 3}' in shown
    assert "  completed" in jobs("list", spec)
    queues = {queue["name"]: queue for queue in data("list", spec)["items"]}
    assert queues["chores"]["completed"] == 2
    assert queues["other"]["completed"] == 0


def test_a_failed_job_is_retried_and_replayed(spec: Path) -> None:
    failed = data("enqueue", spec, "other", "--payload", '{"fail": true}', "--wait", code=1)
    assert (failed["status"], failed["error"]) == ("failed", "it was told to")
    assert failed["id"] in jobs("dead", spec, "other")
    assert data("retry", spec, failed["id"])["id"] == failed["id"]


def test_a_job_is_cancelled_while_it_waits(spec: Path) -> None:
    late = data("enqueue", spec, "chores", "--delay", "1h")
    assert late["status"] == "scheduled"
    assert data("cancel", spec, late["id"])["status"] == "cancelled"
    assert data("cancel", spec, late["id"])["status"] == "cancelled"  # as often as one likes
    assert "has not failed, it is cancelled" in jobs("retry", spec, late["id"], code=1)


def test_dead_jobs_are_replayed(environment: RunningEnvironment, spec: Path) -> None:
    job = environment.run_job("chores", {"fail": True})
    assert data("dead", spec, "chores")["items"][0]["id"] == job["id"]
    assert data("dead", spec, "chores", "--replay")["replayed"] == 1
    assert environment.wait_for_job(job["id"])["status"] == "failed"
    assert "1 replayed" in jobs("dead", spec, "chores", "--replay")
    assert environment.wait_for_job(job["id"])["status"] == "failed"


def test_refusals_are_told_in_the_words_of_the_environment(spec: Path, tmp_path: Path) -> None:
    assert 'Did you mean "chores"?' in jobs("enqueue", spec, "chors", code=1)
    assert "`delay` is no duration\n  /delay: a number" in jobs("enqueue", spec, "chores", "--delay", "soon", code=1)
    assert "no job" in jobs("show", spec, "chores.unknown", code=1)
    assert "the payload is no JSON" in jobs("enqueue", spec, "chores", "--payload", "{", code=2)
    assert "no JSON object" in jobs("enqueue", spec, "chores", "--payload", "[]", code=2)
    assert "cannot read the payload" in jobs("enqueue", spec, "chores", "--payload", f"@{tmp_path}/none", code=1)
    other = tmp_path / "spec.yaml"
    other.write_text(f"version: 1\nname: x\nstorage: {{path: {tmp_path}/state}}\n")
    assert "is not running" in jobs("list", other, code=3)


def test_a_terminal_shows_a_bar_while_it_waits(spec: Path) -> None:
    ours, theirs = pty.openpty()
    payload = '{"seconds": 1}'
    command = [sys.executable, "-m", "runtime", "jobs", "enqueue", str(spec), "chores", "--payload", payload, "--wait"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, text=True, timeout=30)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "completed" in done.stdout
    assert "50%  running, try 1" in shown


def test_the_calls_over_http(environment: RunningEnvironment) -> None:
    batch = environment.post("/v1/queues/chores/jobs/batch", {"jobs": [{"payload": {}}, {"delay": "1h", "key": "ada"}]})
    assert batch.status == 202
    assert [item["status"] for item in batch.body["items"]] == ["queued", "scheduled"]
    wrong = environment.post("/v1/queues/chores/jobs/batch", {"jobs": [{}, {"delay": "soon"}, {"key": ""}]})
    assert wrong.status == 400
    assert [error["pointer"] for error in wrong.body["errors"]] == ["/jobs/1/delay", "/jobs/2/key"]
    assert environment.post("/v1/queues/chores/jobs/batch", {"jobs": [{"key": "ada"}]}).status == 409
    waiting = batch.body["items"][1]["id"]
    assert environment.request("POST", f"/v1/jobs/{waiting}/cancel").body["status"] == "cancelled"
    assert environment.request("POST", f"/v1/jobs/{waiting}/cancel").body["status"] == "cancelled"
    assert environment.request("POST", "/v1/queues/other/pause").body["paused"] is True
    assert environment.get("/v1/queues/other").body["paused"] is True
    assert environment.request("POST", "/v1/queues/other/resume").body["paused"] is False
    for _ in range(3):
        environment.run_job("chores", {"fail": True})
    first = environment.get("/v1/queues/chores/dead?limit=2").body
    second = environment.get(f"/v1/queues/chores/dead?limit=2&after={first['next']}").body
    ids = [job["id"] for job in first["items"] + second["items"]]
    assert ids[:3] == sorted(ids[:3], reverse=True)
    assert len(set(ids)) == len(ids) >= 3
    assert environment.get("/v1/queues/chores/dead?after=nonsense").status == 400
    endless = environment.post("/v1/queues/chores/jobs", {"payload": {"endless": True}}).body["id"]
    assert environment.request("POST", f"/v1/jobs/{endless}/cancel").status == 202
    assert environment.wait_for_job(endless)["status"] == "cancelled"
