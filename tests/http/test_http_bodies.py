"""Which bodies are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from tests.http.conftest import Bench


async def chunks(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * size


async def test_a_body_above_the_limit_is_413(bench: Bench) -> None:
    async with bench.client(bench.api({"max_body": "1kB"})) as client:
        assert (await client.post("/v1/things", json={"name": "a"})).status_code == 202
        answer = await client.post("/v1/things", content=b" " * 1001)
        assert answer.status_code == 413
        assert answer.json()["type"] == "/docs#too-large"
        assert "1,000 bytes" in answer.json()["detail"]


async def test_so_is_a_chunked_one_without_a_length(bench: Bench) -> None:
    async with bench.client(bench.api({"max_body": "1kB"})) as client:
        answer = await client.post("/v1/things", content=chunks(11, 100))
        assert answer.status_code == 413
        keyed = await client.post("/v1/things", content=chunks(11, 100), headers={"Idempotency-Key": "k"})
        assert keyed.status_code == 413
    assert bench.done.made == []


async def test_the_limit_is_live(bench: Bench) -> None:
    api = bench.api({"max_body": "1kB"})
    async with bench.client(api) as client:
        api.live.update({"max_body": "2kB"})
        body = b'{"name": "a"}' + b" " * 1500
        assert (await client.post("/v1/things", content=body)).status_code == 202


async def test_only_json_is_read_where_nothing_else_is_declared(client: httpx.AsyncClient) -> None:
    body = b'{"name": "a"}'
    for media, status in (
        ("application/json", 202),
        ("application/json; charset=utf-8", 202),
        ("application/merge-patch+json", 202),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
    ):
        answer = await client.post("/v1/things", content=body, headers={"Content-Type": media})
        assert answer.status_code == status, media
    assert "Content-Type: application/json" in answer.json()["remedy"]


async def test_a_route_may_read_other_types(client: httpx.AsyncClient) -> None:
    sent = {"content": b"abc", "headers": {"Content-Type": "text/plain"}}
    assert (await client.post("/v1/things/form", **sent)).json() == {"length": 3}  # type: ignore[arg-type]


async def test_a_caller_that_hangs_up_within_its_body_harms_nothing(bench: Bench, client: httpx.AsyncClient) -> None:
    url = client.base_url
    stream = await anyio.connect_tcp(url.host, url.port or 0)
    async with stream:
        await stream.send(
            f"POST /v1/things HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bench.key}\r\n"
            "Content-Length: 100\r\n\r\n{".encode()
        )
    assert (await client.get("/livez")).status_code == 200
    assert bench.done.made == []


async def test_what_is_no_http_is_refused(client: httpx.AsyncClient) -> None:
    url = client.base_url
    for nonsense in (
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ):
        async with await anyio.connect_tcp(url.host, url.port or 0) as raw:
            await raw.send(nonsense)
            assert (await raw.receive()).startswith(b"HTTP/1.1 400")
    assert (await client.get("/livez")).status_code == 200
