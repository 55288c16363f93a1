"""The official OpenAI client against our endpoint, with each provider behind it played by llmock, a server that nobody
here wrote: it breaks on demand, and judges how we take it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from openai import APIError, APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError, RateLimitError
from pydantic import BaseModel

from tests.services.ai.gateway.formats import KINDS, message
from tests.services.ai.gateway.upstream import upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

    from tests.services.ai.gateway.conftest import Launch, Running
    from tests.services.ai.gateway.upstream import Hit, Sender

PATHS = {"openai": "/v1", "anthropic": "/anthropic", "mistral": "/mistral"}
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ASKED: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the weather in Paris?"},
]


class Mock:
    """A running llmock."""

    def __init__(self, url: str) -> None:
        self.url = url

    def script(self, *behaviors: dict[str, Any]) -> None:
        """What the next requests meet with."""
        httpx.post(f"{self.url}/_llmock/scenario", json={"behaviors": list(behaviors)}).raise_for_status()

    def requests(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(f"{self.url}/_llmock/requests").json()["requests"]
        return found

    def verdict(self) -> list[dict[str, Any]]:
        """What it holds against us."""
        found: list[dict[str, Any]] = httpx.get(f"{self.url}/_llmock/verdict").json()["findings"]
        return found


@pytest.fixture(scope="module")
def server() -> Iterator[Mock]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llmock.cli", "serve", "--port", str(port), "--log-level", "error"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 30
            while True:
                try:
                    httpx.get(f"{url}/health").raise_for_status()
                    break
                except httpx.HTTPError:
                    assert time.monotonic() < deadline, "llmock did not start"
                    time.sleep(0.05)
            yield Mock(url)
        finally:
            process.terminate()


@pytest.fixture
def mock(server: Mock) -> Mock:
    httpx.post(f"{server.url}/_llmock/reset").raise_for_status()
    return server


def section(kind: str, url: str) -> dict[str, Any]:
    return {"kind": kind, "api_key": "sk-1", "base_url": url + PATHS[kind], "timeout": "5s"}


@pytest.fixture
async def gateway(launch: Launch, mock: Mock) -> Running:
    chains = {"all": [f"{kind}/m-1" for kind in KINDS]}
    running: Running = await launch({kind: section(kind, mock.url) for kind in KINDS}, chains=chains)
    return running


@pytest.fixture
async def caller(gateway: Running) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key=gateway.key, base_url=f"{gateway.server.url}/v1", max_retries=0) as made:
        yield made


@pytest.mark.parametrize("kind", KINDS)
async def test_chat_and_stream(caller: AsyncOpenAI, mock: Mock, kind: str) -> None:
    mock.script({"type": "reply", "text": "It rains in Paris.", "times": 2})
    answer = await caller.chat.completions.create(model=f"{kind}/m-1", messages=ASKED, temperature=0.2)
    assert answer.choices[0].message.content == "It rains in Paris."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    words, usage, finish = [], None, None
    async for chunk in await caller.chat.completions.create(
        model=f"{kind}/m-1", messages=ASKED, stream=True, stream_options={"include_usage": True}
    ):
        words += [choice.delta.content or "" for choice in chunk.choices]
        finish = next((choice.finish_reason for choice in chunk.choices if choice.finish_reason), finish)
        usage = chunk.usage or usage
    assert "".join(words) == "It rains in Paris."
    assert finish == "stop"
    if kind != "mistral":  # llmock's tells it only where a field asks for it that Mistral's API does not have
        assert usage is not None
        assert usage.completion_tokens == answer.usage.completion_tokens
    assert mock.verdict() == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", KINDS)
async def test_tools_there_and_back(caller: AsyncOpenAI, mock: Mock, kind: str, stream: bool) -> None:
    calls = [{"name": "weather", "arguments": {"city": city}} for city in ("Paris", "Rome")]
    mock.script({"type": "reply", "tool_calls": calls})
    if stream:
        async with caller.chat.completions.stream(model=f"{kind}/m-1", messages=ASKED, tools=[WEATHER]) as events:
            answer: Any = await events.get_final_completion()
    else:
        answer = await caller.chat.completions.create(model=f"{kind}/m-1", messages=ASKED, tools=[WEATHER])
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    asked = [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls]
    assert asked == [("weather", {"city": "Paris"}), ("weather", {"city": "Rome"})]
    assert len({call.id for call in choice.message.tool_calls}) == 2
    results: list[Any] = [
        {"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in choice.message.tool_calls
    ]
    talk = [*ASKED, choice.message.model_dump(exclude_none=True, exclude={"parsed"}), *results]
    final = await caller.chat.completions.create(model=f"{kind}/m-1", messages=talk, tools=[WEATHER])
    assert final.choices[0].finish_reason == "stop"
    assert final.choices[0].message.content
    assert mock.verdict() == []


# llmock knows Anthropic's structured output by the name that it had in its beta; test_wire.py has that of today.
@pytest.mark.parametrize("kind", ["openai", "mistral"])
async def test_structured_output(caller: AsyncOpenAI, kind: str) -> None:
    class Weather(BaseModel):
        city: str
        degrees: int

    answer = await caller.chat.completions.parse(model=f"{kind}/m-1", messages=ASKED, response_format=Weather)
    assert isinstance(answer.choices[0].message.parsed, Weather)


async def test_structured_output_of_anthropic(launch: Launch) -> None:
    class Weather(BaseModel):
        city: str

    async def strict(hit: Hit, send: Sender) -> None:
        schema = hit.json["output_config"]["format"]["schema"]
        assert schema["additionalProperties"] is False
        await send.whole(message(json.dumps(dict.fromkeys(schema["properties"], "Paris"))))

    async with upstream(strict) as claude:
        running = await launch({"anthropic": claude.url})
        async with AsyncOpenAI(api_key=running.key, base_url=f"{running.server.url}/v1", max_retries=0) as caller:
            answer = await caller.chat.completions.parse(
                model="anthropic/claude-sonnet-5", messages=ASKED, response_format=Weather
            )
        assert answer.choices[0].message.parsed == Weather(city="Paris")


async def test_embeddings_and_models(caller: AsyncOpenAI, gateway: Running) -> None:
    found = await caller.embeddings.create(model="openai/text-embedding-3-small", input=["one", "two"])
    assert len(found.data) == 2
    assert all(isinstance(number, float) for number in found.data[0].embedding)
    with pytest.raises(BadRequestError, match="several models"):
        await caller.embeddings.create(model="all", input="one")
    with pytest.raises(BadRequestError, match="Anthropic has no embeddings"):
        await caller.embeddings.create(model="anthropic/x", input="one")
    names = [model.id async for model in caller.models.list()]
    assert names[0] == "all"
    assert names[1:] == sorted(f"{kind}/m-1" for kind in KINDS)


async def test_errors_are_of_the_client_s_own_classes(caller: AsyncOpenAI, mock: Mock) -> None:
    with pytest.raises(NotFoundError, match="no chain"):
        await caller.chat.completions.create(model="nothing", messages=ASKED)
    mock.script({"type": "fail", "status": 429, "retry_after": 300, "times": 3})
    with pytest.raises(RateLimitError) as limited:
        await caller.chat.completions.create(model="all", messages=ASKED)
    assert limited.value.code == "rate_limit_exceeded"
    with pytest.raises(BadRequestError) as bad:
        await caller.chat.completions.create(model="anthropic/m-1", messages=ASKED, n=3)
    assert bad.value.param == "n"


@pytest.mark.parametrize("kind", KINDS)
async def test_broken_streams_are_taken_well(
    caller: AsyncOpenAI, gateway: Running, mock: Mock, kind: str, launch: Launch
) -> None:
    for fault in ("truncate", "disconnect", "malformed"):
        mock.script(
            {"type": "reply", "text": "one two three four five six"},
            {"type": "stream_fault", "kind": fault, "after_chunks": 4},
        )
        with pytest.raises(APIError, match="broke off"):
            async for _ in await caller.chat.completions.create(model=f"{kind}/m-1", messages=ASKED, stream=True):
                pass
    outcomes = {outcome for _, outcome in gateway.books.outcomes}
    assert outcomes <= {"truncated", "malformed"}
    assert len(gateway.books.rows) == 3
    # Before any content, each is tried once more, and the caller sees nothing of it.
    mock.script({"type": "stream_fault", "kind": "truncate", "after_chunks": 1})
    answer = [c async for c in await caller.chat.completions.create(model=f"{kind}/m-1", messages=ASKED, stream=True)]
    assert answer
    assert [finding for finding in mock.verdict() if finding["severity"] == "error"] == []


@pytest.mark.parametrize("kind", KINDS)
async def test_what_goes_away_by_itself_is_waited_for(caller: AsyncOpenAI, mock: Mock, kind: str) -> None:
    mock.script({"type": "fail", "status": 429, "retry_after": 0.3}, {"type": "reply", "text": "Here."})
    answer = await caller.chat.completions.create(model=f"{kind}/m-1", messages=ASKED)
    assert answer.choices[0].message.content == "Here."
    mock.script({"type": "fail", "status": 503 if kind != "anthropic" else 529})
    await caller.chat.completions.create(model=f"{kind}/m-1", messages=ASKED)
    assert len(mock.requests()) == 4
    mock.script({"type": "fail", "status": 401, "times": 2})
    with pytest.raises(APIStatusError):
        await caller.chat.completions.create(model=f"{kind}/m-1", messages=ASKED)
    assert len(mock.requests()) == 5  # a refused key is not tried again
    assert mock.verdict() == []
