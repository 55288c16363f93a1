"""The gateway in a whole environment: safety, money, keys that change, what an operator sees."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from runtime.testing import RunningEnvironment, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


class Provider:
    """A provider's server; `key` is the one that it takes, and a text with `bad` in it is flagged."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.asked: list[tuple[str, dict[str, Any]]] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(200 if self._known() else 401, {"data": []})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                provider.asked.append((self.path, body))
                if not self._known():
                    self._answer(401, {"error": {"message": "wrong key", "type": "invalid_request_error"}})
                elif self.path.endswith("/moderations"):
                    flags = ["bad" in text for text in body["input"]]
                    results = [
                        {"flagged": flag, "categories": {"violence": flag}, "category_scores": {"violence": 0.9}}
                        for flag in flags
                    ]
                    self._answer(200, {"id": "1", "model": "omni-moderation-latest", "results": results})
                else:
                    choice = {"message": {"role": "assistant", "content": "Fine."}, "finish_reason": "stop"}
                    self._answer(200, {"id": "1", "choices": [choice], "usage": USAGE})

            def _known(self) -> bool:
                return self.headers["Authorization"] == f"Bearer {provider.key}"

            def _answer(self, status: int, body: Any) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def chats(self) -> int:
        return sum(path.endswith("/chat/completions") for path, _ in self.asked)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def providers() -> Iterator[tuple[Provider, Provider]]:
    one, two = Provider("sk-first-key-of-one"), Provider("sk-key-of-two")
    yield one, two
    one.close()
    two.close()


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "key"
    file.write_text("sk-first-key-of-one")
    return file


@pytest.fixture(scope="module")
def environment(
    providers: tuple[Provider, Provider], key_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningEnvironment]:
    one, two = providers
    spec = tmp_path_factory.mktemp("ai") / "spec.yaml"
    data = {
        "version": 1,
        "name": "ai-test",
        "api": {"port": 0},
        "ai": {
            "providers": {
                "one": {"kind": "openai", "api_key": f"${{file:{key_file}}}", "base_url": one.url},
                "two": {"kind": "openai", "api_key": "sk-key-of-two", "base_url": two.url},
            },
            "chains": {"default": ["one/gpt-5", "two/gpt-5"]},
            "breaker": {"failures": 5, "window": "60s", "cooldown": "1s"},
            "safety": {"input": {"provider": "one"}},
            "prices": {
                "one/gpt-5": {"input": 1, "output": 10},
                "two/gpt-5": {"input": 1, "output": 10},
                "one/omni-moderation-latest": {"input": 0, "output": 0},
            },
            "budgets": {"each": {"per": "30d", "limit": "1.00 USD"}},
        },
    }
    spec.write_text(json.dumps(data))
    with running(spec) as environment:
        yield environment


def chat(environment: RunningEnvironment, text: str, **fields: Any) -> Any:
    body = {"model": "default", "messages": [{"role": "user", "content": text}], "max_tokens": 200, **fields}
    return environment.post("/v1/chat/completions", body)


def await_(condition: Callable[[], bool], environment: RunningEnvironment) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, environment.output
        time.sleep(0.05)


def state(environment: RunningEnvironment, name: str) -> str:
    items = environment.get("/v1/ai/providers").body["items"]
    return next(str(item["state"]) for item in items if item["name"] == name)


def test_an_answer_costs_what_its_tokens_cost(environment: RunningEnvironment) -> None:
    answered = chat(environment, "How are you?")
    assert answered.status == 200, answered.body
    assert answered.headers["x-runtime-provider"] == "one"
    assert answered.headers["x-runtime-cost"] == "0.002"  # 1000 in at 1, 100 out at 10 dollars a million

    def booked() -> bool:
        items = environment.get("/v1/usage?by=model").body["items"]
        return any(item["model"] == "gpt-5" and item["cost"].startswith("0.002") for item in items)

    await_(booked, environment)
    figures = environment.get("/metrics").body
    assert 'runtime_ai_attempts_total{model="gpt-5",outcome="ok",provider="one"} 1.0' in figures


def test_an_unsafe_prompt_is_its_caller_s_alone(
    environment: RunningEnvironment, providers: tuple[Provider, Provider]
) -> None:
    one, two = providers
    before = one.chats(), two.chats(), len(one.asked)
    refused = chat(environment, "something bad")
    assert refused.status == 400
    assert refused.body["error"]["code"] == "content_policy_violation"
    assert (one.chats(), two.chats(), len(one.asked)) == (before[0], before[1], before[2] + 1)
    assert (state(environment, "one"), state(environment, "two")) == ("active", "active")
    assert chat(environment, "something good").status == 200


def test_a_model_without_a_price_is_not_asked(
    environment: RunningEnvironment, providers: tuple[Provider, Provider]
) -> None:
    before = providers[0].chats()
    unpriced = chat(environment, "Hello", model="two/unheard-of")
    assert unpriced.status == 400
    assert "two/unheard-of" in unpriced.body["error"]["message"]
    assert providers[0].chats() == before


def test_a_key_that_is_rotated_takes_hold_and_a_wrong_one_is_told(
    environment: RunningEnvironment, providers: tuple[Provider, Provider], key_file: Path
) -> None:
    one, _ = providers
    one.key = "sk-second-key-of-one"
    environment_check = {"model": "one/gpt-5", "messages": [{"role": "assistant", "content": "x"}], "max_tokens": 5}
    refused = environment.post("/v1/chat/completions", environment_check)
    assert refused.status == 502, refused.body
    assert "sk-first" not in json.dumps(refused.body)
    await_(lambda: state(environment, "one") == "disabled", environment)
    await_(lambda: environment.get("/healthz").body["services"]["ai"]["status"] == "degraded", environment)
    key_file.write_text("sk-second-key-of-one")
    await_(lambda: state(environment, "one") == "active", environment)
    answered = environment.post("/v1/chat/completions", environment_check)
    assert answered.status == 200, answered.body
    assert "sk-second" not in environment.output
    assert "How are you?" not in environment.output


def test_the_document_describes_the_calls(environment: RunningEnvironment) -> None:
    paths = environment.get("/openapi.json").body["paths"]
    body = paths["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["model", "messages"]
    assert "text/event-stream" in paths["/v1/chat/completions"]["post"]["responses"]["200"]["content"]
    assert environment.get("/v1/models").body["data"][0]["id"] == "default"
