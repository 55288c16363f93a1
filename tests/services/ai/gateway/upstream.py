"""A provider's server that sends exactly the bytes that a test wants, and counts what it was asked."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class Hit:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when whoever asked has hung up."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Sender:
    """Writes an answer."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def whole(self, body: Any, status: int = 200, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        about = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        about |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"HTTP/1.1 {status} X", *[f"{name}: {value}" for name, value in about.items()]]
        await self.raw("\r\n".join([*lines, "", ""]).encode() + data)

    async def stream(self) -> None:
        """Begins a stream."""
        await self.raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")

    async def chunk(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    async def event(self, data: Any, name: str | None = None) -> None:
        text = data if isinstance(data, bytes) else json.dumps(data).encode()
        await self.chunk((f"event: {name}\n".encode() if name else b"") + b"data: " + text + b"\n\n")

    async def end(self) -> None:
        """Ends a stream as HTTP does."""
        await self.raw(b"0\r\n\r\n")

    def cut(self) -> None:
        """Closes the connection in the midst of it."""
        self._writer.close()

    def reset(self) -> None:
        """Breaks the connection off (RST)."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Answering = Callable[[Hit, Sender], Awaitable[None]]


class Upstream:
    """The server. `answer` says what it does with a request, and may be changed at any time."""

    def __init__(self, answer: Answering) -> None:
        self.answer = answer
        self.hits: list[Hit] = []
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while not writer.is_closing() and (hit := await self._read(reader)) is not None:
                self.hits.append(hit)
                watching = asyncio.create_task(self._watch(reader, hit))
                try:
                    await self.answer(hit, Sender(writer))
                finally:
                    watching.cancel()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Hit | None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, path, _ = first.split(" ")
        return Hit(method, path, headers, body)

    async def _watch(self, reader: asyncio.StreamReader, hit: Hit) -> None:
        # The transport tells the reader of the end; nobody else reads while an answer is written.
        while not reader.at_eof() and reader.exception() is None:
            await asyncio.sleep(0.002)
        hit.gone.set()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def upstream(answer: Answering) -> AsyncIterator[Upstream]:
    """A server until the block's end."""
    made = Upstream(answer)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        await made.close()
        await server.wait_closed()


async def nowhere() -> str:
    """An address at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"
