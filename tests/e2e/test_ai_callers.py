"""Whose an answer is: streams that end with the key, jobs that ask models for who put them in, traces of both."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from runtime.testing import RunningEnvironment, running
from tests.otlp import Collector, collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TASK = """
import asyncio
from dataclasses import dataclass
from runtime import JobContext, task

@dataclass
class Question:
    text: str
    user: str = ""
    then: bool = False

@task("ask")
async def ask(job: JobContext, question: Question) -> str:
    if question.then:
        await job.enqueue("questions", {"text": question.text})
        return "asked for"
    asked = {"model": "default", "messages": [{"role": "user", "content": question.text}], "max_tokens": 100}
    answer = await job.ai.chat(asked, user=question.user)
    return answer.plain()["choices"][0]["message"]["content"]
"""
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Provider:
    """Three models' server: `busy` answers 503; `gpt-5` answers, and begins a stream which it does not end; `mute` says
    nothing in its stream."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.left = threading.Event()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                provider.headers.append({name.lower(): value for name, value in self.headers.items()})
                if body["model"] == "busy":
                    self._answer(503, {"error": {"message": "busy", "type": "server_error"}})
                elif body.get("stream"):
                    self._stream(body["model"])
                else:
                    choice = {"message": {"role": "assistant", "content": "Fine."}, "finish_reason": "stop"}
                    self._answer(200, {"id": "c-1", "model": "gpt-5-2026", "choices": [choice], "usage": USAGE})

            def _answer(self, status: int, body: Any) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def _stream(self, model: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                chunk = {"id": "c-2", "model": "gpt-5-2026", "choices": [{"index": 0, "delta": {"content": "one two"}}]}
                if model != "mute":
                    self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                self.wfile.flush()
                self.connection.settimeout(20)
                try:
                    gone = self.connection.recv(1) == b""
                except ConnectionError:
                    gone = True
                except TimeoutError:
                    gone = False
                if gone:
                    provider.left.set()
                self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def traces() -> Iterator[Collector]:
    with collector() as made:
        yield made


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


@pytest.fixture(scope="module")
def at(provider: Provider, traces: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEnvironment]:
    folder = tmp_path_factory.mktemp("callers")
    (folder / "questions.py").write_text(TASK)
    prices = {f"one/{model}": {"input": 1, "output": 10} for model in ("busy", "gpt-5", "mute")}
    spec = {
        "version": 1,
        "name": "callers",
        "auth": {"api_keys": {"rounds": 4}},
        "plugins": ["questions"],
        "queues": {"questions": {"handler": "ask", "retry": {"attempts": 1}}},
        "ai": {
            "providers": {"one": {"kind": "openai-compatible", "api_key": "sk-of-one", "base_url": provider.url}},
            "chains": {"default": {"models": ["one/busy", "one/gpt-5"], "attempts": 1}},
            "breaker": {"failures": 1000},
            "prices": prices,
            "budgets": {"key": {"per": "30d", "limit": "0.10 USD", "scope": "key"}},
        },
        "billing": {"currency": "USD"},
        "events": {"streams": {"billing": {"events": {"payment.received": {}, "credits.used": {}}}}},
        "observability": {
            "logs": {"format": "json"},
            "tracing": {"exporter": "otlp", "endpoint": traces.url, "headers": {"X-Tenant": "sk-tenant-of-traces"}},
        },
    }  # fmt: skip
    (folder / "spec.yaml").write_text(json.dumps(spec))
    with running(folder / "spec.yaml", environ={"PYTHONPATH": str(folder)}) as environment:
        for user in ("user:ada", "user:ben"):
            given = environment.post("/v1/credits", {"account": user, "kind": "purchase", "amount": "1.00"})
            assert given.status in (200, 201), given.body
        yield environment


class Key:
    """An API key of a user."""

    def __init__(self, at: RunningEnvironment, owner: str, **fields: Any) -> None:
        asked = {"name": "app", "scopes": ["ai:use", "jobs:write", "jobs:read"], "owner": owner, **fields}
        made = at.post("/v1/api-keys", asked)
        assert made.status == 201, made.body
        self.id, self.headers = made.body["id"], {"Authorization": f"Bearer {made.body['key']}"}


def soon(condition: Callable[[], Any], at: RunningEnvironment) -> Any:
    deadline = time.monotonic() + 15
    while not (found := condition()):
        assert time.monotonic() < deadline, at.output
        time.sleep(0.05)
    return found


def streamed(at: RunningEnvironment, key: Key) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(at.url.removeprefix("http://"), timeout=20)
    body = {"model": "one/gpt-5", "messages": [{"role": "user", "content": "Hi"}], "stream": True, "max_tokens": 100}
    headers = {**key.headers, "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    assert b"one two" in answer.readline()
    return connection, answer


def ended(answer: http.client.HTTPResponse) -> dict[str, Any]:
    """The error with which a stream ends."""
    rest = answer.read().decode()
    assert "[DONE]" not in rest
    last = rest.strip().split("\n\n")[-1]
    error: dict[str, Any] = json.loads(last.removeprefix("data: "))["error"]
    return error


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_a_stream_ends_with_its_key_and_is_paid_for(at: RunningEnvironment, provider: Provider, how: str) -> None:
    provider.left.clear()
    until = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat() if how == "expired" else None
    key = Key(at, "user:ben", **({"expires_at": until} if until else {}))
    connection, answer = streamed(at, key)
    if how == "revoked":
        assert at.request("DELETE", f"/v1/api-keys/{key.id}").status == 204
    error = ended(answer)
    connection.close()
    assert error["code"] == "invalid_api_key"
    assert error["message"] == ("the key has been revoked" if how == "revoked" else "the key has run out")
    assert provider.left.wait(10)  # the provider is let go, and not when its server closes

    def paid() -> list[dict[str, Any]]:
        items = at.get("/v1/usage?by=key&user=user:ben").body["items"]
        return [item for item in items if item["key"] == f"key:{key.id}" and item["cost"] != "0"]

    (item,) = soon(paid, at)
    assert item["tokens"]["output"] == 2  # "one two", counted by us


def test_a_stream_that_has_not_begun_is_refused(at: RunningEnvironment, provider: Provider) -> None:
    provider.left.clear()
    key, asked = Key(at, "user:ben"), len(provider.headers)
    body = {"model": "one/mute", "messages": [{"role": "user", "content": "Hi"}], "stream": True, "max_tokens": 100}
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(at.request, "POST", "/v1/chat/completions", body, headers=key.headers)
        soon(lambda: len(provider.headers) > asked, at)
        assert at.request("DELETE", f"/v1/api-keys/{key.id}").status == 204
        refused = answer.result(20)
    assert (refused.status, refused.body["error"]["type"]) == (401, "authentication_error")
    assert refused.body["detail"] == "the key has been revoked"
    assert provider.left.wait(10)


def test_a_jobs_questions_are_paid_by_who_put_it_in(at: RunningEnvironment) -> None:
    key = Key(at, "user:ada", credits="0.003")

    def run(payload: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
        posted = at.request(
            "POST", "/v1/queues/questions/jobs", {"payload": payload, "owner": "user:ben"}, headers=headers
        )
        assert posted.status == 202, posted.body
        return at.wait_for_job(posted.body["id"])

    def cost(user: str) -> str:
        items = at.get(f"/v1/usage?by=key&user={user}").body["items"]
        return next((item["cost"] for item in items if item["key"] == f"key:{key.id}"), "0")

    done = run({"text": "How are you?"}, key.headers)
    assert (done["status"], done["result"]) == ("completed", "Fine."), done
    soon(lambda: cost("user:ada") == "0.002", at)
    soon(lambda: at.get("/v1/credits?account=user:ada").body["balance"].startswith("0.998"), at)
    # What is left of the key's credits does not pay for another one, though the user has enough.
    refused = run({"text": "And now?"}, key.headers)
    assert refused["status"] == "failed"
    assert "this key may spend" in refused["error"]
    # A job that it puts in is its own too, and what it says of the owner is not who pays.
    nested = run({"text": "And then?", "then": True}, key.headers)
    assert nested["status"] == "completed"
    soon(lambda: at.get("/v1/queues/questions/dead").body["items"][1:], at)
    assert cost("user:ada") == "0.002"
    # The task may name another one.
    named = run({"text": "For Ben", "user": "user:ben"}, key.headers)
    assert named["status"] == "completed", named
    soon(lambda: any(i["key"] == "user:ben" for i in at.get("/v1/usage?by=key&user=user:ben").body["items"]), at)


def test_one_trace_from_the_request_over_the_job_to_the_model(
    at: RunningEnvironment, provider: Provider, traces: Collector
) -> None:
    key = Key(at, "user:ada")
    headers = {**key.headers, "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    posted = at.request("POST", "/v1/queues/questions/jobs", {"payload": {"text": "A secret?"}}, headers=headers)
    assert posted.status == 202
    told = {name.lower(): value for name, value in posted.headers.items()}["traceresponse"]
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-0[13]", told)
    assert at.wait_for_job(posted.body["id"])["status"] == "completed"

    def whole(spans: list[Any]) -> bool:
        return any(span.trace == TRACE and span.kind == 5 for span in spans)

    mine = {span.name: span for span in traces.wait(whole) if span.trace == TRACE}
    assert set(mine) == {
        "POST /v1/queues/{queue}/jobs", "send questions", "process questions", "ai chat default", "chat busy",
        "chat gpt-5",
    }  # fmt: skip
    request, sent, job, call = (mine[name] for name in list(_order(mine)))
    assert (request.kind, sent.kind, job.kind, call.kind, mine["chat busy"].kind) == (2, 4, 5, 1, 3)
    assert [span.parent for span in (request, sent, job, call)] == ["00f067aa0ba902b7", request.id, sent.id, job.id]
    assert request.about["http.response.status_code"] == 202
    assert job.about["messaging.message.id"] == posted.body["id"]
    assert (call.about["runtime.ai.attempts"], call.about["runtime.ai.cost"], call.failed) == (2, 2_000_000, False)
    busy, answered = mine["chat busy"], mine["chat gpt-5"]
    assert busy.parent == answered.parent == call.id
    assert (busy.failed, busy.about["error.type"], busy.about["http.response.status_code"]) == (True, "overloaded", 503)
    assert not answered.failed
    for name, value in {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.request.max_tokens": 100,
        "gen_ai.response.model": "gpt-5-2026",
        "gen_ai.response.id": "c-1",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        "runtime.ai.provider": "one",
        "server.address": "127.0.0.1",
    }.items():
        assert answered.about[name] == value, name
    assert answered.resource["service.name"] == "callers"
    assert traces.headers[0]["x-tenant"] == "sk-tenant-of-traces"
    assert provider.headers[-1]["traceparent"].startswith(f"00-{TRACE}-{answered.id}-0")
    shown = json.dumps([span.about for span in traces.spans])
    assert "A secret?" not in shown
    assert "Fine." not in shown
    assert "sk-" not in shown
    lines = [json.loads(line) for line in at.output.splitlines() if TRACE in line]
    assert any(line["trace_id"] == TRACE and line["span_id"] == request.id for line in lines)
    assert not any(span.about.get("http.route") in ("/readyz", "/livez") for span in traces.spans)


def _order(spans: dict[str, Any]) -> Iterator[str]:
    for begin in ("POST", "send", "process", "ai"):
        yield next(name for name in spans if name.startswith(begin))
