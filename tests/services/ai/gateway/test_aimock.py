"""Our endpoint with each provider behind it played by aimock, a second server that nobody here wrote: it speaks
all three formats, moderates, and breaks on demand. The official OpenAI client asks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.npm import node, npm_package
from tests.services.ai.gateway.formats import KINDS
from tests.services.ai.gateway.test_clients import ASKED, WEATHER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.services.ai.gateway.conftest import Launch, Running

VERSION = "1.43.0"
PROGRAM = """
import { LLMock } from "@copilotkit/aimock";
const mock = new LLMock({ port: 0, logLevel: "silent", chunkSize: 5 });
mock.onModerate(/bad/, { flagged: true, categories: { violence: true }, category_scores: { violence: 0.9 } });
await mock.start();
console.log(mock.url);
"""
TEXT = "It rains in Paris today."
OUTCOMES = {
    "dropRate": {"server_error"},
    "rateLimitRate": {"rate_limit"},
    "malformedRate": {"malformed"},
    "disconnectRate": {"connection", "truncated"},
}
"""Its faults, and what they are to us."""


class Aimock:
    """A running aimock."""

    def __init__(self, url: str) -> None:
        self.url = url

    def reset(self) -> None:
        httpx.post(f"{self.url}/__aimock/reset").raise_for_status()
        httpx.delete(f"{self.url}/__aimock/chaos").raise_for_status()

    def answers(self, *fixtures: dict[str, Any]) -> None:
        httpx.post(f"{self.url}/__aimock/fixtures", json={"fixtures": list(fixtures)}).raise_for_status()

    def breaks(self, fault: str) -> None:
        httpx.post(f"{self.url}/__aimock/chaos", json={fault: 1.0}).raise_for_status()

    def asked(self) -> int:
        """How many requests it has had."""
        return int(httpx.get(f"{self.url}/__aimock/journal").headers["X-Total-Count"])


@pytest.fixture(scope="module")
def server() -> Iterator[Aimock]:
    with node(npm_package("@copilotkit/aimock", VERSION), PROGRAM) as process:
        try:
            assert process.stdout is not None
            yield Aimock(process.stdout.readline().strip())
        finally:
            process.terminate()


@pytest.fixture
def mock(server: Aimock) -> Aimock:
    server.reset()
    return server


@pytest.fixture
async def gateway(launch: Launch, mock: Aimock) -> Running:
    sections: dict[str, Any] = {
        kind: {"kind": kind, "api_key": "sk-1", "base_url": mock.url + ("/v1" if kind == "openai" else "")}
        for kind in KINDS
    }
    chains = {f"{kind}-then-echo": {"models": [f"{kind}/m-1", "echo/e"], "attempts": 1} for kind in KINDS}
    running: Running = await launch({**sections, "echo": {"kind": "echo"}}, chains=chains)
    return running


@pytest.fixture
async def caller(gateway: Running) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key=gateway.key, base_url=f"{gateway.server.url}/v1", max_retries=0) as made:
        yield made


@pytest.mark.parametrize("kind", KINDS)
async def test_chat_and_stream(caller: AsyncOpenAI, gateway: Running, mock: Aimock, kind: str) -> None:
    mock.answers({"match": {"userMessage": "weather"}, "response": {"content": TEXT}})
    answer = await caller.chat.completions.create(model=f"{kind}/m-1", messages=ASKED, temperature=0.2)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (TEXT, "stop")
    assert answer.usage is not None
    if kind != "anthropic":  # aimock's tells of no tokens there
        assert answer.usage.completion_tokens > 0
    words, finish = [], None
    async for chunk in await caller.chat.completions.create(model=f"{kind}/m-1", messages=ASKED, stream=True):
        words += [choice.delta.content or "" for choice in chunk.choices]
        finish = next((choice.finish_reason for choice in chunk.choices if choice.finish_reason), finish)
    assert ("".join(words), finish) == (TEXT, "stop")
    assert len([word for word in words if word]) > 2
    assert gateway.books.outcomes == [(kind, "ok"), (kind, "ok")]
    assert mock.asked() == 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", KINDS)
async def test_tools_there_and_back(caller: AsyncOpenAI, mock: Aimock, kind: str, stream: bool) -> None:
    calls = [{"name": "weather", "arguments": {"city": city}} for city in ("Paris", "Rome")]
    mock.answers(
        {"match": {"userMessage": "weather", "hasToolResult": False}, "response": {"toolCalls": calls}},
        {"match": {"userMessage": "weather", "hasToolResult": True}, "response": {"content": TEXT}},
    )
    asked: Any = {"model": f"{kind}/m-1", "tools": [WEATHER]}
    if stream:
        async with caller.chat.completions.stream(messages=ASKED, **asked) as events:
            answer: Any = await events.get_final_completion()
    else:
        answer = await caller.chat.completions.create(messages=ASKED, **asked)
    said = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert [json.loads(call.function.arguments)["city"] for call in said.tool_calls] == ["Paris", "Rome"]
    results: list[Any] = [{"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in said.tool_calls]
    talk = [*ASKED, said.model_dump(exclude_none=True, exclude={"parsed"}), *results]
    final = await caller.chat.completions.create(messages=talk, **asked)
    assert final.choices[0].message.content == TEXT


@pytest.mark.parametrize("kind", KINDS)
async def test_structured_output(caller: AsyncOpenAI, mock: Aimock, kind: str) -> None:
    class Weather(BaseModel):
        city: str
        degrees: int

    mock.answers({"match": {"userMessage": "weather"}, "response": {"content": '{"city": "Paris", "degrees": 21}'}})
    answer = await caller.chat.completions.parse(model=f"{kind}/m-1", messages=ASKED, response_format=Weather)
    assert answer.choices[0].message.parsed == Weather(city="Paris", degrees=21)


@pytest.mark.parametrize("kind", ["openai", "mistral"])
async def test_moderation_and_embeddings(caller: AsyncOpenAI, gateway: Running, kind: str) -> None:
    judged = await caller.moderations.create(model=f"{kind}/judge", input="something bad")
    assert judged.results[0].flagged
    assert judged.results[0].categories.violence
    assert not (await caller.moderations.create(model=f"{kind}/judge", input="something good")).results[0].flagged
    vectors = await caller.embeddings.create(model=f"{kind}/vectors", input=["one", "two"], encoding_format="float")
    assert len(vectors.data) == 2
    assert vectors.data[0].embedding != vectors.data[1].embedding
    assert gateway.books.outcomes == [(kind, "ok")] * 3


@pytest.mark.parametrize("fault", OUTCOMES)
@pytest.mark.parametrize("kind", KINDS)
async def test_chaos_is_named_rightly_and_the_next_model_answers(
    gateway: Running, mock: Aimock, kind: str, fault: str
) -> None:
    mock.answers({"match": {"userMessage": "weather"}, "response": {"content": TEXT}})
    mock.breaks(fault)
    for stream in (False, True):
        before, asked = len(gateway.books.rows), mock.asked()
        answer = await gateway.chat(f"{kind}-then-echo", "The weather?", stream=stream)
        assert answer.headers["x-runtime-provider"] == "echo"
        assert "[echo]" in answer.text
        await gateway.books.until(before + 2)
        (provider, outcome), last = gateway.books.outcomes[before:]
        assert (provider, last) == (kind, ("echo", "ok"))
        assert outcome in OUTCOMES[fault]
        assert mock.asked() == asked + 1
