"""What the gateway itself does for a chunk of a stream, without the kernel: the part of `ai.py`'s figure that is ours.

Chunks come one by one, each in its own turn of the event loop, through the HTTP client, the gateway and the HTTP server
as they are; only the two sockets are replaced, by one that feeds and one that drops. Figures are of CPU time.

    python benchmarks/ai_chunk.py
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from aiohttp.client_proto import ResponseHandler
from litestar import Litestar, get
from uvicorn import Config
from uvicorn.server import ServerState

from benchmarks.gateways.upstream import STREAM, events
from runtime.http.wire import HttpProtocol
from runtime.services.ai.adapters.transport import Opened as Read
from runtime.services.ai.attempt import Try
from runtime.services.ai.figures import Figures
from runtime.services.ai.provider import _RemotePieces
from runtime.services.ai.request import ChatRequest
from runtime.services.ai.routes import answers
from runtime.services.ai.stream import Opened, Streaming
from runtime.services.ai.wire.anthropic import AnthropicWire
from runtime.services.ai.wire.openai import OpenAiWire

CHUNKS, WARM, ROUNDS = 40_000, 2_000, 5
ASKED = ChatRequest(b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}')
WAYS = {"passed through": ("chat", OpenAiWire()), "translated from Anthropic": ("message", AnthropicWire())}


class Wire(asyncio.Transport):
    """A connection to nowhere; tells when something is written to it."""

    def __init__(self, written: Any = lambda: None) -> None:
        super().__init__()
        self._written = written

    def write(self, data: Any) -> None:
        self._written()

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...


class Nothing:
    """Stands for the books: whatever is asked of them, it is done at once."""

    reports = None
    cost = 0

    def spent(self, usage: Any) -> bool:
        return False

    async def record(self, attempt: Any) -> int:
        return 0

    async def close(self) -> None: ...


async def measured(kind: str, wire: Any) -> float:
    """Microseconds a chunk."""
    loop = asyncio.get_running_loop()
    begin, content, end = events(kind, 1)
    provider = ResponseHandler(loop)
    provider.connection_made(Wire())
    provider.set_response_params(read_bufsize=2**18)
    provider.data_received(STREAM + begin + content)
    _, body = await provider.read()

    url = SimpleNamespace(host="provider")
    pieces = _RemotePieces(Read(SimpleNamespace(content=body, url=url)), wire.reader(ASKED), ())  # type: ignore[arg-type]
    books: Any = Nothing()
    attempt = Try(
        SimpleNamespace(id="c", operation="chat", input_bytes=100),  # type: ignore[arg-type]
        books,
        Figures(),
        number=1,
        candidate=SimpleNamespace(provider="p", model="m"),  # type: ignore[arg-type]
        provider=books,
        entry=None,  # type: ignore[arg-type]
        key=None,
        limit=None,
        affordable=10**9,
        streamed=True,
    )
    opened = Opened(attempt, AsyncExitStack(), pieces, [await pieces.next()])
    streaming = Streaming(opened, books, books, idle=60.0, check=None, attempts=1)

    @get("/stream")
    async def stream() -> answers.Deferred:
        async def sending(_scope: Any, send: Any, present: Any) -> None:
            await answers._stream(streaming, send, present)  # noqa: SLF001 - the route itself would want a gateway

        return answers.Deferred(sending)

    done: asyncio.Future[float] = loop.create_future()
    count, since = 0, 0.0

    def passed() -> None:
        nonlocal count, since
        count += 1
        if count == WARM:
            since = time.process_time()
        if count < CHUNKS + WARM:
            loop.call_soon(provider.data_received, content)
        elif not done.done():
            done.set_result((time.process_time() - since) / CHUNKS * 1e6)

    config = Config(Litestar([stream], openapi_config=None), interface="asgi3", access_log=False)
    config.load()
    server = HttpProtocol(config=config, server_state=ServerState(), app_state={})
    server.connection_made(Wire(passed))
    server.data_received(b"GET /stream HTTP/1.1\r\nHost: here\r\n\r\n")
    took = await done
    provider.data_received(end + b"0\r\n\r\n")
    while streaming.attempt.outcome is None:
        await asyncio.sleep(0)
    return took


def main() -> None:
    for name, (kind, wire) in WAYS.items():
        took = [uvloop.run(measured(kind, wire)) for _ in range(ROUNDS)]
        print(f"{name:28} {statistics.median(took):5.1f} µs a chunk  ({min(took):.1f}–{max(took):.1f})")


if __name__ == "__main__":
    main()
