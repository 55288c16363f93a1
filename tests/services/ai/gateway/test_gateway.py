"""Chat completions end to end over HTTP."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from runtime.services.ai.models import ProviderModels
from tests.services.ai.gateway.formats import KINDS, TEXT, answer, answering
from tests.services.ai.gateway.upstream import upstream

if TYPE_CHECKING:
    from tests.services.ai.gateway.conftest import Launch
    from tests.services.ai.gateway.upstream import Hit, Sender


def streamed(text: str) -> str:
    """The content of a stream."""
    chunks = [json.loads(line[6:]) for line in text.split("\n\n") if line.startswith("data: {")]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_chat_is_answered_by_each_provider(launch: Launch, kind: str) -> None:
    async with upstream(answering(kind)) as server:
        gateway = await launch({kind: server.url}, chains={"default": [f"{kind}/m-1"]})
        answered = await gateway.chat()
        assert answered.status_code == 200, answered.text
        body = answered.json()
        assert body["choices"][0]["message"]["content"] == TEXT
        assert body["usage"]["total_tokens"] == 13
        assert answered.headers["x-runtime-provider"] == kind
        assert answered.headers["x-runtime-model"] == "m-1"
        assert answered.headers["x-runtime-attempts"] == "1"
        assert answered.headers["x-runtime-cost"] == "0.000013"
        stream = await gateway.chat(stream=True)
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert streamed(stream.text) == TEXT
        assert stream.text.endswith("data: [DONE]\n\n")
        assert gateway.books.outcomes == [(kind, "ok")] * 2
        assert [row.usage.total for row in gateway.books.rows] == [13, 13]
        assert len(gateway.books.closed) == 2
        assert server.hits[0].headers["authorization"] == f"Bearer sk-{kind}"


async def test_openai_s_bytes_are_passed_on_untouched(launch: Launch) -> None:
    sent = json.dumps(answer("openai"), indent=3).encode()

    async def odd(hit: Any, send: Any) -> None:
        await send.whole(sent)

    async with upstream(odd) as server:
        gateway = await launch({"openai": server.url})
        answered = await gateway.chat("openai/gpt-x", temperature=0.5, unheard_of={"a": [1]})
        assert answered.content == sent
        assert server.hits[0].json == {
            "model": "gpt-x",
            "messages": [{"role": "user", "content": "Hi"}],
            "temperature": 0.5,
            "unheard_of": {"a": [1]},
        }


async def test_an_echo_says_that_it_is_one(launch: Launch) -> None:
    gateway = await launch({"echo": {"kind": "echo"}})
    body = (await gateway.chat("echo/any", "Hello there")).json()
    assert body["choices"][0]["message"]["content"] == "[echo] Hello there"
    assert body["system_fingerprint"] == "echo"
    stream = await gateway.chat("echo/any", "Hello there", stream=True)
    assert streamed(stream.text) == "[echo] Hello there"


async def test_moderations_are_in_openai_s_form(launch: Launch) -> None:
    async def judge(hit: Hit, send: Sender) -> None:
        texts = hit.json["input"]
        results: list[dict[str, Any]] = [{"categories": {"violence": "bad" in text}} for text in texts]
        if "omni" in hit.json["model"]:
            results = [{**result, "flagged": any(result["categories"].values())} for result in results]
        await send.whole({"id": "1", "model": hit.json["model"], "results": results})

    async with upstream(judge) as server:
        for kind, usual in (("openai", "omni-moderation-latest"), ("mistral", "mistral-moderation-latest")):
            gateway = await launch({"echo": {"kind": "echo"}, kind: server.url})
            answered = await gateway.http.post("/v1/moderations", json={"input": ["fine", "bad"]})
            assert answered.status_code == 200, answered.text
            assert [result["flagged"] for result in answered.json()["results"]] == [False, True]
            assert answered.headers["x-runtime-model"] == usual
            named = await gateway.http.post("/v1/moderations", json={"input": "fine", "model": f"{kind}/other"})
            assert server.hits[-1].json["model"] == "other"
            assert named.status_code == 200
            results, model, _ = await ProviderModels(gateway.service.registry.clients).moderate(kind, None, ["bad"])
            assert (results[0]["flagged"], model) == (True, usual)
        alone = await launch({"echo": {"kind": "echo"}})
        refused = await alone.http.post("/v1/moderations", json={"input": "fine"})
        assert refused.status_code == 400
        assert "no provider of the spec moderates" in refused.text


async def test_a_server_that_speaks_as_openai_does(launch: Launch) -> None:
    async with upstream(answering("openai")) as server:
        gateway = await launch({"local": {"kind": "openai-compatible", "base_url": f"{server.url}/v1"}})
        gateway.books.credit = 70
        assert (await gateway.chat("local/llama:8b")).status_code == 200
        hit = server.hits[0]
        assert "authorization" not in hit.headers
        assert hit.json["max_tokens"] == 70
        assert hit.json["model"] == "llama:8b"
        text, usage = await ProviderModels(gateway.service.registry.clients).complete(
            "local", "llama", [{"role": "user", "content": "Hi"}]
        )
        assert (text, usage.total) == (TEXT, 13)


async def test_figures_of_what_was_asked(launch: Launch) -> None:
    async with upstream(answering("openai")) as server:
        gateway = await launch({"openai": server.url})
        await gateway.chat("openai/m-1")
        await gateway.chat("openai/m-1", stream=True)
        figures = (await gateway.http.get("/metrics")).text
        assert 'runtime_ai_attempts_total{model="m-1",outcome="ok",provider="openai"} 2.0' in figures
        assert 'runtime_ai_tokens_total{model="m-1",provider="openai",type="input"} 18.0' in figures
        named = 'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="m-1"'
        assert f'gen_ai_client_operation_time_to_first_chunk_seconds_count{{{named},provider="openai"}} 1.0' in figures
        assert (
            f'gen_ai_client_operation_duration_seconds_count{{error_type="",{named},provider="openai"}} 2.0' in figures
        )
        token = 'gen_ai_token_type="input",provider="openai"'
        assert f"gen_ai_client_token_usage_sum{{{named},{token}}} 18.0" in figures


async def test_prompts_are_in_no_log_unless_asked_for(launch: Launch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    for wanted in (False, True):
        caplog.clear()
        gateway = await launch({"echo": {"kind": "echo"}}, log_prompts=wanted)
        for stream in (False, True):
            await gateway.chat("echo/any", "a very private word", stream=stream)
        told = [
            record for record in caplog.records if "a very private word" in json.dumps(record.__dict__, default=str)
        ]
        assert len(told) == (2 if wanted else 0)
