"""Server-Sent Events from any async iterator.

A stream ends politely when the client goes, when the server drains (the client is told to come back in a
second), when its key or session is revoked, when its key runs out, and when the iterator ends. Nothing is read
ahead of the client by more than a few events, so a slow reader slows the source and never fills the memory;
one that does not read at all is dropped.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final, NamedTuple, TypeVar

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectSendStream
from litestar import Litestar, Request, Response
from litestar.background_tasks import BackgroundTask, BackgroundTasks
from litestar.datastructures import Cookie
from litestar.enums import MediaType
from litestar.response.base import ASGIResponse
from litestar.serialization import default_serializer
from litestar.types import Receive, Scope, Send, TypeEncodersMap

from runtime.errors import Fault
from runtime.http.drain import drain_of
from runtime.http.revoked import revocation_of

HEARTBEAT: Final = 15.0
STALL: Final = 30.0
_AHEAD: Final = 16
_COME_BACK: Final = b"retry: 1000\n\n"
_STILL_HERE: Final = b": still here\n\n"

T = TypeVar("T")

_log = logging.getLogger("runtime.http")


class ServerEvent(NamedTuple):
    """One event of a stream.

    Args:
        id: what the client sends back as `Last-Event-ID`; None for none.
        event: its type.
        data: anything that JSON can hold.
    """

    id: str | None
    event: str
    data: Any

    def encode(self) -> bytes:
        """The event as it goes over the wire."""
        lines = [] if self.id is None else [f"id: {_one_line(self.id)}"]
        lines.append(f"event: {_one_line(self.event)}")
        data = msgspec.json.encode(self.data, enc_hook=default_serializer)
        return "\n".join(lines).encode() + b"\ndata: " + data + b"\n\n"


def _one_line(text: str) -> str:
    return text.translate({0: None, 10: None, 13: None})


class EventStream(Response[bytes]):
    """The answer of a route that streams.

    Check what can be checked before returning it: once the stream has begun, an error can only be sent as
    an event of type `error`.

    Args:
        source: where the values come from, in order; closed at the end, whatever the end is.
        event: makes the event of a value.
        heartbeat: seconds of silence after which a comment is sent, which keeps proxies from closing the
            connection.
        stall: seconds that a client may leave a write waiting.

    Example:
        >>> EventStream(events.follow("billing"), lambda e: ServerEvent(e.position, e.type, e.data))
    """

    def __init__(
        self,
        source: AsyncIterator[T],
        event: Callable[[T], ServerEvent],
        *,
        heartbeat: float = HEARTBEAT,
        stall: float = STALL,
    ) -> None:
        super().__init__(b"", media_type="text/event-stream")
        self._streaming = _Streaming(source, event, heartbeat, stall)

    def to_asgi_response(  # the base class's own signature
        self,
        app: Litestar | None,
        request: Request[Any, Any, Any],
        *,
        background: BackgroundTask | BackgroundTasks | None = None,
        cookies: Iterable[Cookie] | None = None,
        encoded_headers: Iterable[tuple[bytes, bytes]] | None = None,
        headers: dict[str, str] | None = None,
        is_head_response: bool = False,
        media_type: MediaType | str | None = None,
        status_code: int | None = None,
        type_encoders: TypeEncodersMap | None = None,
    ) -> ASGIResponse:
        return self._streaming


class _Streaming(ASGIResponse):
    _should_set_content_length = False

    def __init__(
        self, source: AsyncIterator[Any], event: Callable[[Any], ServerEvent], heartbeat: float, stall: float
    ) -> None:
        super().__init__(
            media_type="text/event-stream", headers={"cache-control": "no-store", "x-accel-buffering": "no"}
        )
        self._source = source
        self._event = event
        self._heartbeat = heartbeat
        self._stall = stall

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def write(chunk: bytes, *, more: bool = True) -> None:
            with anyio.fail_after(self._stall):
                await send({"type": "http.response.body", "body": chunk, "more_body": more})

        async def end_on_disconnect() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            group.cancel_scope.cancel()

        async def end_on_drain() -> None:
            await drain_of(scope).wait()
            reading.cancel()

        async def end_on_revocation() -> None:
            with revocation_of(scope) as revoked:
                await revoked.wait()
                await into.aclose()

        await self.start_response(send)
        into, out = anyio.create_memory_object_stream[bytes](_AHEAD)
        reading = anyio.CancelScope()
        async with anyio.create_task_group() as group:
            group.start_soon(end_on_disconnect)
            group.start_soon(end_on_drain)
            group.start_soon(end_on_revocation)
            group.start_soon(self._pump, into)
            try:
                with reading, out:
                    await write(b": open\n\n")
                    while True:
                        chunk = _STILL_HERE
                        with anyio.move_on_after(self._heartbeat):
                            chunk = await out.receive()
                        await write(chunk)
            except anyio.EndOfStream:
                await write(b"", more=False)
            except TimeoutError:
                _log.info("an event stream was dropped: its client does not read", extra={"stall": self._stall})
            if reading.cancelled_caught:
                await write(_COME_BACK, more=False)
            group.cancel_scope.cancel()

    async def _pump(self, into: MemoryObjectSendStream[bytes]) -> None:
        with into:
            try:
                async for value in self._source:
                    await into.send(self._event(value).encode())
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return  # the reader has gone first
            except Fault as fault:
                await into.send(_error(fault.title, fault.message))
            except Exception:  # noqa: BLE001 - the stream has begun: all that is left is to tell both sides
                _log.exception("an event stream failed")
                await into.send(_error("Internal error", "The stream ended because of an error in the server."))
            finally:
                close = getattr(self._source, "aclose", None)
                if close is not None:
                    with anyio.CancelScope(shield=True), anyio.move_on_after(1.0):
                        await close()


def _error(title: str, detail: str) -> bytes:
    return ServerEvent(None, "error", {"title": title, "detail": detail}).encode()
