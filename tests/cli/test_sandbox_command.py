"""`runtime sandbox run`, and the sandbox of a running environment over HTTP and through its queue."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from runtime.testing import RunningEnvironment, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TASKS = """
from runtime import JobContext, task

@task("calculate")
async def calculate(job: JobContext, payload: dict) -> dict:
    done = await job.sandbox.execute("javascript", payload["code"], payload.get("input"))
    return {"status": done.status, "output": done.output}
"""


def sandbox(*arguments: Any, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runtime", "sandbox", "run", *map(str, arguments)]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)


def test_a_file_is_run(tmp_path: Path) -> None:
    (tmp_path / "sum.js").write_text("console.log('adding'); input.reduce((a, b) => a + b)")
    done = sandbox(tmp_path / "sum.js", "--input", "[1, 2, 3]")
    assert (done.returncode, done.stdout, done.stderr) == (0, "6\n", "adding\n")

    whole = json.loads(sandbox("-", "--language", "javascript", "--json", text="({a: 1})").stdout)
    assert (whole["status"], whole["output"]) == ("ok", {"a": 1})

    failed = sandbox("-", "--language", "javascript", text="1\nnull.x")
    assert failed.returncode == 1
    assert "error: TypeError" in failed.stderr
    assert "(line 2)" in failed.stderr

    late = sandbox("-", "--language", "javascript", "--timeout", "50ms", text="for (;;);")
    assert (late.returncode, late.stderr) == (1, "timeout: Timeout: it ran longer than 50 ms\n")


def test_wrong_calls_say_what_to_do(tmp_path: Path) -> None:
    for arguments, code, said in (
        (["absent.js"], 1, "cannot read absent.js"),
        (["x.txt"], 2, "names no language"),
        (["-", "--language", "javascript", "--input", "{"], 2, "the input is no JSON"),
        (["-", "--language", "javascript", "--memory", "lots"], 1, "memory is not a size"),
    ):
        done = sandbox(*arguments)
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEnvironment]:
    folder = tmp_path_factory.mktemp("sandbox")
    (folder / "spec.yaml").write_text(
        "version: 1\nname: sandboxed\nplugins: [sandbox_command_tasks]\napi: {port: 0}\n"
        "sandbox: {languages: [javascript], timeout: 200ms}\n"
        "queues:\n  calculations: {handler: calculate}\n  runs: {handler: sandbox.execute, retry: {attempts: 1}}\n"
    )
    (folder / "sandbox_command_tasks.py").write_text(TASKS)
    with running(folder / "spec.yaml") as environment:
        yield environment


def test_code_is_run_over_http(environment: RunningEnvironment) -> None:
    done = environment.post("/v1/sandbox/executions", {"language": "javascript", "code": "input + 1", "input": 1})
    assert done.status == 200
    assert (done.body["status"], done.body["output"], done.body["error"]) == ("ok", 2, None)

    late = environment.post("/v1/sandbox/executions", {"language": "javascript", "code": "for(;;);", "timeout": "20ms"})
    assert (late.status, late.body["status"]) == (200, "timeout")

    raised = environment.post("/v1/sandbox/executions", {"language": "javascript", "code": "1", "timeout": "1s"})
    assert (raised.status, raised.body["status"]) == (200, "rejected")

    for body, place in (
        ({"language": "ruby", "code": "1"}, "/language"),
        ({"language": "python", "code": "1"}, "/language"),
        ({"language": "javascript"}, "/code"),
        ({"language": "javascript", "code": "1", "memory": "lots"}, "/memory"),
        ({"language": "javascript", "code": "1", "more": 1}, "/more"),
    ):
        refused = environment.post("/v1/sandbox/executions", body)
        assert (refused.status, refused.body["errors"][0]["pointer"]) == (400, place), refused.body


def test_code_is_run_by_queues(environment: RunningEnvironment) -> None:
    done = environment.run_job("runs", {"language": "javascript", "code": "input * 2", "input": 4})
    assert (done["status"], done["result"]["status"], done["result"]["output"]) == ("completed", "ok", 8)

    by_a_task = environment.run_job("calculations", {"code": "throw 1"})
    assert by_a_task["result"] == {"status": "error", "output": None}

    rejected = environment.run_job("runs", {"language": "python", "code": "1"})
    assert (rejected["status"], "runs no" in rejected["error"]) == ("failed", True)


def test_health_tells_of_the_sandbox(environment: RunningEnvironment) -> None:
    told = environment.request("GET", "/healthz").body["services"]["sandbox"]

    assert told["status"] in ("operational", "degraded")
    assert set(told["details"]["sandbox"]) >= {"v8", "v8_age_days", "confinement", "javascript"}
