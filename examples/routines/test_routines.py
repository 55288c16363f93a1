"""The example, run through the real command."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from runtime.testing import RunningEnvironment, running

if TYPE_CHECKING:
    from collections.abc import Iterator

SPEC = Path(__file__).with_name("spec.yaml")
SUMMARY = "[echo] 4 words, the longest is quick."
ANSWER = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
MORE: dict[str, Any] = {
    "asked": {
        "steps": {"a": {"uses": "ai.chat", "chain": "default", "messages": [{"content": "{{ run.started_by }}"}]}},
        "output": "{{ steps.a.output }}",
    },
    "titled": {"steps": {"a": {"uses": "ai.chat", "chain": "default", "prompt": "Hi", "schema": ANSWER}}},
    "fitting": {
        "steps": {"a": {"uses": "ai.chat", "chain": "fitting", "prompt": "Hi", "schema": ANSWER, "max_tokens": 50}},
        "output": "{{ steps.a.output.title }}",
    },
    "broken": {"steps": {"a": {"uses": "sandbox.javascript", "code": "const x = 1\nnull.y"}}},
}


class Model(BaseHTTPRequestHandler):
    """Answers as OpenAI does, with a title."""

    asked: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        message = {"role": "assistant", "content": '{"title": "News"}'}
        answer: dict[str, Any] = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
        answer["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
        answer["usage"] = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """It is quiet."""


@pytest.fixture(scope="module")
def environment() -> Iterator[RunningEnvironment]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        local = {"kind": "openai-compatible", "base_url": f"http://127.0.0.1:{server.server_port}/v1"}
        free = {"local/m": {"input": 0, "output": 0}}
        ai = {"providers": {"local": local}, "chains": {"fitting": ["local/m"]}, "prices": free}
        try:
            with running(SPEC, changes={"routines": MORE, "ai": ai}) as environment:
                yield environment
        finally:
            server.shutdown()
            thread.join()


def run(at: RunningEnvironment, routine: str, **given: Any) -> dict[str, Any]:
    started = at.post(f"/v1/routines/{routine}/runs", {"input": given})
    assert started.status == 202, started.body
    return at.wait_for_job(started.body["id"])


def test_a_run_from_the_sandbox_to_the_mailbox(environment: RunningEnvironment) -> None:
    job = run(environment, "brief", text="the quick brown fox")
    assert (job["status"], job["result"]["output"]) == ("completed", SUMMARY)
    steps = {name: step["status"] for name, step in job["result"]["steps"].items()}
    assert steps == {"facts": "completed", "summary": "completed", "tell": "completed"}
    deadline = time.monotonic() + 15
    while not (caught := list(environment.state.mail.glob("*.eml"))):
        assert time.monotonic() < deadline, environment.output
        time.sleep(0.02)
    (mail,) = [message_from_bytes(path.read_bytes(), policy=default) for path in caught]
    assert (mail["To"], mail["Subject"]) == ("ada@example.com", "Your brief is ready")
    body = mail.get_body(("plain",))
    assert body is not None
    assert SUMMARY in body.get_content()


def test_a_failure_names_the_step_and_the_line_of_its_code(environment: RunningEnvironment) -> None:
    job = run(environment, "brief", text=" ")
    assert job["error"] == 'the step "facts" failed: Error: there is no text (facts.js:2)'
    assert "TypeError" in run(environment, "broken")["error"]
    assert run(environment, "broken")["error"].endswith("(line 2 of its code)")


def test_a_model_is_asked_in_the_name_of_whoever_started_the_run(environment: RunningEnvironment) -> None:
    assert run(environment, "asked")["result"]["output"] == "[echo] key:operator"
    used = environment.get("/v1/usage?by=user&user=*").body["items"]
    assert [item["user"] for item in used] == ["key:operator"]


def test_an_answer_that_does_not_fit_its_schema_is_a_failure(environment: RunningEnvironment) -> None:
    assert run(environment, "titled")["error"].startswith('the step "a" failed: the answer is no JSON')


def test_an_answer_that_fits_its_schema_is_a_value(environment: RunningEnvironment) -> None:
    job = run(environment, "fitting")
    assert job["status"] == "completed", job["error"]
    assert job["result"]["output"] == "News"
    (asked,) = Model.asked
    assert asked["response_format"]["json_schema"]["schema"] == ANSWER
    assert 50 in (asked.get("max_tokens"), asked.get("max_completion_tokens"))


def test_what_can_be_started(environment: RunningEnvironment) -> None:
    brief = environment.get("/v1/routines").body["items"][0]
    assert (brief["name"], brief["input"]["required"]) == ("brief", ["text"])
    assert [step["uses"] for step in brief["steps"]] == ["sandbox.javascript", "ai.chat", "notify"]
    refused = environment.post("/v1/routines/brief/runs", {"input": {"txt": 1}})
    assert refused.status == 400
    assert [wrong["pointer"] for wrong in refused.body["errors"]] == ["/input/txt", "/input/text"]
    unknown = environment.post("/v1/routines/breif/runs", {})
    assert (unknown.status, unknown.body["remedy"]) == (404, 'Did you mean "brief"?')


def test_the_command_runs_it(environment: RunningEnvironment) -> None:
    spec = str(environment.state.path.parent / "spec.yaml")
    command = [sys.executable, "-m", "runtime", "routines"]
    given = json.dumps({"text": "the quick brown fox"})
    done = subprocess.run(
        [*command, "run", spec, "brief", "--input", given], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{SUMMARY}\n"
    listed = subprocess.run([*command, "list", spec], capture_output=True, text=True, check=True)
    assert listed.stdout.startswith("brief text [reader]: facts → summary → tell")
    failed = subprocess.run([*command, "run", spec, "broken"], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "TypeError" in failed.stderr
