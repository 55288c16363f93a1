"""A server that ends while clients hold connections to it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from runtime.http.wire import HttpProtocol

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def served() -> tuple[asyncio.Server, Any, set[Any]]:
    import uvicorn
    from uvicorn.server import ServerState

    config = uvicorn.Config(app, http=HttpProtocol, ws="none", log_config=None, lifespan="off")
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: HttpProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    return server, SimpleNamespace(port=server.sockets[0].getsockname()[1]), state.connections


async def test_a_request_that_is_on_its_way_is_answered() -> None:
    server, at, connections = await served()
    reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
    writer.write(REQUEST)
    assert b"200 OK" in await reader.readuntil(b"ok")
    (connection,) = connections
    connection.shutdown()
    writer.write(REQUEST)  # sent before the client could know
    answer = await reader.read()
    assert b"200 OK" in answer
    assert b"connection: close" in answer
    writer.close()
    server.close()


async def test_a_connection_that_stays_idle_is_closed() -> None:
    server, at, connections = await served()
    reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
    writer.write(REQUEST)
    await reader.readuntil(b"ok")
    (connection,) = connections
    connection.shutdown()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    server.close()


async def test_who_still_sends_gets_the_answer() -> None:
    """The application answers a request whose body it does not read; the connection ends with it."""
    server, at, _ = await served()
    reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
    head = b"POST / HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Length: 8000000\r\n\r\n"
    writer.write(head + b"x" * 1_000_000)
    assert b"200 OK" in await reader.readuntil(b"ok")
    for _ in range(7):
        writer.write(b"x" * 1_000_000)
        await writer.drain()
    assert await reader.read() == b""
    writer.close()
    server.close()
