"""Event streams: what goes over the wire, and how they end."""

from __future__ import annotations

import anyio
import anyio.abc
import httpx
import pytest

from runtime.http.sse import ServerEvent
from tests.http.conftest import Bench, serving


def test_an_event_cannot_break_out_of_its_frame() -> None:
    event = ServerEvent("1\n2\x00", "a\r\nevent: b", {"text": "one\n\ntwo"})
    assert event.encode() == b'id: 12\nevent: aevent: b\ndata: {"text":"one\\n\\ntwo"}\n\n'
    assert ServerEvent(None, "a", 1).encode() == b"event: a\ndata: 1\n\n"


async def test_events_come_one_after_the_other(client: httpx.AsyncClient, bench: Bench) -> None:
    answer = await client.get("/v1/things/stream")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    frames = answer.text.split("\n\n")
    assert frames[0] == ": open"
    assert frames[1] == 'id: 0\nevent: thing\ndata: {"number":0,"text":"one\\ntwo"}'
    assert len(frames) == 5
    assert bench.done.closed.is_set()


async def test_silence_is_filled_with_comments(client: httpx.AsyncClient) -> None:
    async with client.stream("GET", "/v1/things/stream?kind=endless") as answer:
        async for line in answer.aiter_lines():
            if line == ": still here":
                break
        else:
            pytest.fail("the stream ended without a comment")


async def test_a_client_that_goes_ends_the_source(client: httpx.AsyncClient, bench: Bench) -> None:
    async with client.stream("GET", "/v1/things/stream?kind=endless") as answer:
        async for line in answer.aiter_lines():
            if line == "id: 2":
                break
    with anyio.fail_after(5):
        await bench.done.closed.wait()


@pytest.mark.parametrize(("kind", "said"), [("fault", "the stream is gone"), ("bug", "error in the server")])
async def test_an_error_in_the_source_is_an_event(client: httpx.AsyncClient, kind: str, said: str) -> None:
    answer = await client.get(f"/v1/things/stream?kind={kind}")
    assert answer.status_code == 200
    last = answer.text.strip().split("\n\n")[-1]
    assert last.startswith("event: error\ndata: {")
    assert said in last
    assert "hunter2" not in answer.text


async def test_a_drain_ends_it_politely(bench: Bench) -> None:
    async with serving(bench.api()) as server, httpx.AsyncClient(headers=bench.authorization) as client:
        async with client.stream("GET", f"{server.url}/v1/things/stream?kind=endless") as answer:
            lines = answer.aiter_lines()
            while await anext(lines) != "id: 2":
                pass
            async with anyio.create_task_group() as group:
                group.start_soon(server.stop)
                rest = [line async for line in lines]  # whole: httpx would raise for one that was cut off
        assert "retry: 1000" in rest
    assert bench.done.closed.is_set()


async def test_a_reader_that_does_not_read_slows_the_source_and_is_dropped(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    async with await anyio.connect_tcp(client.base_url.host, client.base_url.port or 0) as raw:
        await raw.send(
            "GET /v1/things/stream?kind=flood HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {bench.key}\r\n\r\n".encode()
        )
        with anyio.fail_after(15):
            await bench.done.closed.wait()  # dropped after the stall
        sent = bench.done.sent
        await anyio.sleep(0.05)
        assert bench.done.sent == sent
    assert sent < 500_000
