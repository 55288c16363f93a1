"""A caller that hangs up: the provider is let go at once, in every phase, and what came is billed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.ai.gateway.formats import KINDS, events
from tests.services.ai.gateway.upstream import upstream

if TYPE_CHECKING:
    from tests.services.ai.gateway.conftest import Launch, Running
    from tests.services.ai.gateway.upstream import Hit, Sender, Upstream

PHASES = ("before the head", "before any content", "in the midst")


def holding(kind: str, phase: str) -> Any:
    """A provider that goes no further than this."""

    async def hold(hit: Hit, send: Sender) -> None:
        if phase != "before the head":
            await send.stream()
            upto = 1 if phase == "before any content" else 5
            for data, name in events(kind)[:upto]:
                await send.event(data, name)
        await hit.gone.wait()

    return hold


async def asking(gateway: Running, kind: str, *, stream: bool) -> asyncio.StreamWriter:
    """Sends a request over a connection of its own."""
    host, _, port = gateway.server.url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    asked = {"model": f"{kind}/m-1", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    body = json.dumps(asked).encode()
    head = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {gateway.key}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    writer.write("\r\n".join([*head, "", ""]).encode() + body)
    await writer.drain()
    return writer


async def asked(server: Upstream) -> Hit:
    async with asyncio.timeout(10):
        while not server.hits:
            await asyncio.sleep(0.002)
    return server.hits[0]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_that_nobody_reads_any_more(launch: Launch, kind: str, phase: str) -> None:
    async with upstream(holding(kind, phase)) as server:
        gateway = await launch({kind: server.url})
        writer = await asking(gateway, kind, stream=True)
        hit = await asked(server)
        if phase == "in the midst":
            await asyncio.sleep(0.1)  # so that its words have come through
        writer.transport.abort()
        async with asyncio.timeout(10):
            await hit.gone.wait()
        await gateway.books.until(1)
        row = gateway.books.rows[0]
        assert row.outcome == "aborted"
        assert (row.usage.total > 0) == (phase == "in the midst")
        assert gateway.state(kind) == "active"
        assert len(server.hits) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_that_nobody_waits_for_any_more(launch: Launch, kind: str) -> None:
    async with upstream(holding(kind, "before the head")) as server:
        gateway = await launch({kind: server.url})
        writer = await asking(gateway, kind, stream=False)
        hit = await asked(server)
        writer.close()
        async with asyncio.timeout(10):
            await hit.gone.wait()
        await gateway.books.until(1)
        assert gateway.books.outcomes == [(kind, "aborted")]
        assert len(gateway.books.closed) == 1
        assert gateway.state(kind) == "active"


async def test_a_caller_that_leaves_while_a_retry_waits(launch: Launch) -> None:
    async def busy(hit: Hit, send: Sender) -> None:
        await send.whole({}, 429, Retry_After="30")

    async with upstream(busy) as server:
        gateway = await launch({"openai": server.url})
        writer = await asking(gateway, "openai", stream=False)
        await asked(server)
        await gateway.books.until(1)
        writer.close()
        async with asyncio.timeout(10):
            while not gateway.books.closed:
                await asyncio.sleep(0.002)
        assert gateway.books.outcomes == [("openai", "rate_limit")]
        assert len(server.hits) == 1


async def test_a_stream_is_cut_when_the_money_is_gone(launch: Launch) -> None:
    many = tuple(f"word{number} " for number in range(400))

    async def endless(hit: Hit, send: Sender) -> None:
        await send.stream()
        for data, name in events("openai", many):
            if hit.gone.is_set():
                return
            await send.event(data, name)
        await hit.gone.wait()

    async with upstream(endless) as server:
        gateway = await launch({"openai": server.url})
        gateway.books.credit = 50
        answered = await gateway.chat("openai/m-1", stream=True)
        assert server.hits[0].json["max_completion_tokens"] == 50
        *_, last, _ = answered.text.split("\n\n")
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "insufficient_credit"
        assert "[DONE]" not in answered.text
        async with asyncio.timeout(10):
            await server.hits[0].gone.wait()
        assert gateway.books.outcomes == [("openai", "cut")]
        assert gateway.books.rows[0].usage.output > 50
        assert gateway.state("openai") == "active"
