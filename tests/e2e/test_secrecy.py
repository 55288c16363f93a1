"""A secret of the spec is found nowhere that a person or another program can look: searched for byte by byte."""

from __future__ import annotations

import base64
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil

from runtime.testing import running

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2-and-a-long-tail"
LITERAL = "written-down-4711"
TASKS = """
import logging, os
from runtime import JobContext, task

@task("tell")
async def tell(job: JobContext, payload: dict) -> None:
    logging.getLogger("tasks").warning("the password is %s", os.environ["MAIL_PASSWORD"])
    raise ValueError(os.environ["MAIL_PASSWORD"])
"""
SPEC = f"""
version: 1
name: secrecy
plugins: [telling]
storage: {{redis: embedded}}
api: {{port: 0}}
queues:
  tell: {{handler: tell, concurrency: 1, retry: {{attempts: 1}}}}
notifications:
  channels:
    email: {{kind: smtp, host: 127.0.0.1, port: 9, from: a@example.com, username: core, password: "${{MAIL_PASSWORD}}"}}
    spare: {{kind: smtp, host: 127.0.0.1, port: 9, from: a@example.com, username: core, password: {LITERAL}}}
"""


def holds(text: str | bytes) -> list[str]:
    """Which of the secrets stand in a text, plain or in base64."""
    raw = text.encode() if isinstance(text, str) else text
    return [
        secret for secret in (SECRET, LITERAL) if secret.encode() in raw or base64.b64encode(secret.encode()) in raw
    ]


def test_no_secret_is_shown_anywhere(tmp_path: Path) -> None:
    (tmp_path / "telling.py").write_text(TASKS)
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC)
    with running(spec, environ={"MAIL_PASSWORD": SECRET}) as environment:
        job = environment.run_job("tell", {})
        assert job["status"] == "failed"
        assert job["error"] == "ValueError: ***"
        mail = {"to": ["a@example.com"], "subject": "x", "text": "x"}
        assert environment.post("/v1/queues/email/jobs", {"payload": mail}).status == 202
        for path in ("/v1/runtime", "/v1/runtime/spec", "/v1/runtime/revisions", "/healthz", "/metrics", "/v1/queues"):
            answer = environment.get(path)
            assert answer.status == 200, path
            assert not holds(str(answer.body)), path
        family = psutil.Process(environment.process.pid)
        for process in (family, *family.children(recursive=True)):
            assert not holds(" ".join(process.cmdline()))
        for child in family.children(recursive=True):
            assert not holds(str(child.environ()))  # none of ours is handed on
        assert "the password is" in environment.output  # it was logged, and masked
        assert not holds(environment.output)
        journal = b"".join(file.read_bytes() for file in environment.state.journal.glob("*.json"))
        assert SECRET.encode() not in journal  # references stand there as they were written
        assert all(file.stat().st_mode & 0o077 == 0 for file in environment.state.journal.glob("*.json"))
    shown = subprocess.run(
        [sys.executable, "-m", "runtime", "show", str(spec)], capture_output=True, text=True, check=True
    )
    assert not holds(shown.stdout + shown.stderr)
