"""HTTP requests of steps: where they may go, what is sent, and what is made of the answer."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from runtime.services.routines.adapters.http import HttpRequests
from runtime.services.routines.step import StepFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.services.routines.site import Elsewhere


@pytest.fixture
async def requests() -> AsyncIterator[HttpRequests]:
    made = HttpRequests()
    yield made
    await made.close()


async def sent(requests: HttpRequests, url: str, **headers: str) -> tuple[int, str, bytes]:
    return await requests.send("GET", url, headers, None, timeout=10, private=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433"])
async def test_the_own_network_is_refused(requests: HttpRequests, elsewhere: Elsewhere, host: str) -> None:
    port = elsewhere.url.rpartition(":")[2]
    with pytest.raises(StepFailed) as raised:
        await requests.send("GET", f"http://{host}:{port}/", {}, None, timeout=10, private=False)
    assert elsewhere.requests == []
    if host in ("127.0.0.1", "localhost"):
        assert "private_addresses" in str(raised.value)
        assert not raised.value.passing


async def test_a_redirect_is_not_followed(requests: HttpRequests, elsewhere: Elsewhere) -> None:
    elsewhere.answers["/a"] = [web.Response(status=302, headers={"Location": "/b"})]
    assert (await sent(requests, f"{elsewhere.url}/a"))[0] == 302
    assert elsewhere.came_to("/b") == 0


async def test_an_answer_that_is_too_long(requests: HttpRequests, elsewhere: Elsewhere) -> None:
    elsewhere.answers["/a"] = [b"x" * 1_000_001]
    with pytest.raises(StepFailed, match="more than 1,000,000 bytes"):
        await sent(requests, f"{elsewhere.url}/a")


@pytest.mark.parametrize("url", ["ftp://example.com", "file:///etc/passwd", "example.com/x", "http://", "http://[::1"])
async def test_what_is_no_web_address(requests: HttpRequests, url: str) -> None:
    with pytest.raises(StepFailed, match="no http or https address") as raised:
        await sent(requests, url)
    assert not raised.value.passing


async def test_a_server_that_is_away_may_come_back(requests: HttpRequests) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(StepFailed, match=f"http://127.0.0.1:{port} does not answer") as raised:
            await sent(requests, f"http://user:hunter2@127.0.0.1:{port}/path?token=hunter2")
    assert raised.value.passing
    assert "hunter2" not in str(raised.value)


async def test_a_header_that_cannot_be_sent(requests: HttpRequests, elsewhere: Elsewhere) -> None:
    with pytest.raises(StepFailed, match="cannot be asked") as raised:
        await sent(requests, elsewhere.url, Authorization="one\r\nX-Other: two")
    assert not raised.value.passing
    assert elsewhere.requests == []


async def test_headers_are_sent_as_they_are(site: Any, elsewhere: Elsewhere) -> None:
    elsewhere.answers["/a"] = [b"plain"]
    step = {
        "uses": "http",
        "url": f"{elsewhere.url}/a?q={{{{ input.q | urlencode }}}}",
        "private_addresses": True,
        "headers": {"Authorization": "Bearer {{ input.q }}"},
    }
    at = await site({"a": step}, input={"q": {}}, output="{{ steps.a.output }}")
    ended = await at.run(q="a&b")
    assert ended.result["output"] == "plain"
    ((method, path, headers, body),) = elsewhere.requests
    assert (method, path, headers["Authorization"], body) == ("GET", "/a", "Bearer {{ input.q }}", None)
    assert "Idempotency-Key" not in headers


async def test_json_that_is_none(site: Any, elsewhere: Elsewhere) -> None:
    elsewhere.answers["/a"] = [web.Response(body=b"{", content_type="application/problem+json")]
    at = await site({"a": {"uses": "http", "url": f"{elsewhere.url}/a", "private_addresses": True}})
    error = (await at.run()).error
    assert error is not None
    assert "the answer says that it is JSON, and is none" in error
