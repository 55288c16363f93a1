"""Jobs that cannot be taken, over HTTP: what is wrong is said, and nothing is half stored."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import httpx

from runtime.testing import RunningEnvironment, running
from tests.load import valkey_of

if TYPE_CHECKING:
    from pathlib import Path

TASKS = """
from dataclasses import dataclass
from runtime import JobContext, task

@dataclass
class Mail:
    to: str
    size: int = 0

@task("send")
async def send(job: JobContext, payload: Mail) -> str:
    return payload.to
"""
SPEC = """
version: 1
name: refusals
plugins: [refusals]
storage: {redis: embedded}
api: {port: 0}
queues:
  mails: {handler: send}
"""
GOOD = {"to": "ada"}


def test_wrong_jobs_are_refused_with_their_place_and_a_server_that_hangs_with_503(tmp_path: Path) -> None:
    (tmp_path / "refusals.py").write_text(TASKS)
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC)
    with running(spec) as environment:
        environment.post("/v1/queues/mails/pause", None)
        _refuses(environment)
        assert environment.get("/v1/queues/mails").body["waiting"] == 0
        server = valkey_of(environment)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            answer = httpx.post(
                f"{environment.url}/v1/queues/mails/jobs",
                json={"payload": GOOD},
                headers={"Authorization": f"Bearer {environment.key}"},
                timeout=30,  # it is tried twice, five seconds each
            )
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert answer.status_code == 503
        assert "storage.redis" in answer.text
        environment.post("/v1/queues/mails/resume", None)
        assert environment.run_job("mails", GOOD)["result"] == "ada"


def _refuses(environment: RunningEnvironment) -> None:
    jobs = "/v1/queues/mails/jobs"
    wrong: list[tuple[str, dict[str, Any], int, str]] = [
        ("/v1/queues/mials/jobs", {"payload": GOOD}, 404, 'Did you mean "mails"?'),
        (jobs, {"payload": {}}, 400, "/payload"),
        (jobs, {"payload": {"to": 7}}, 400, "/payload"),
        (jobs, {"payload": GOOD, "priority": 100_000}, 400, "/priority"),
        (jobs, {"payload": GOOD, "priority": "high"}, 400, "/priority"),
        (jobs, {"payload": GOOD, "run_at": "2001-01-01T00:00:00Z"}, 400, "/run_at"),
        (jobs, {"payload": GOOD, "delay": "soon"}, 400, "/delay"),
        (jobs, {"payload": GOOD, "key": "k" * 201}, 400, "/key"),
        (jobs, {"payload": GOOD, "timeout": "-1s"}, 400, "/timeout"),
        (jobs, {"payload": GOOD, "colour": "red"}, 400, "colour"),
        (jobs, {"payload": {"to": "x" * 2_000_000}}, 413, ""),
    ]
    for path, body, status, said in wrong:
        answer = environment.post(path, body)
        what = f"{path} {str(body)[:80]} -> {answer.status} {answer.body}"
        assert answer.status == status, what
        assert said in str(answer.body), what
    batch = [{"payload": GOOD}, {"payload": {}}, {"payload": GOOD}]
    answer = environment.post(f"{jobs}/batch", {"jobs": batch})
    assert answer.status == 400, answer.body
    assert "/jobs/1/payload" in str(answer.body)
