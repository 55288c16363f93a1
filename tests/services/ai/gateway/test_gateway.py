"""Chat completions end to end over HTTP."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.ai.gateway.formats import KINDS, TEXT, answer, answering
from tests.services.ai.gateway.upstream import upstream

if TYPE_CHECKING:
    from tests.services.ai.gateway.conftest import Launch


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
