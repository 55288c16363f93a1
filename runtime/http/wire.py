"""How uvicorn's answers go onto the wire: the head and the body of an answer in one piece.

uvicorn writes them one after the other, and uvloop hands each write to the kernel at once: two calls, two packets and
two wake-ups of the caller where one will do. For a small answer that is a third of its whole cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from runtime.http.headers import put_wire

LINGER: Final = 0.2
"""Seconds for which an idle connection is kept when its server ends."""

UNREAD: Final = 2.0
"""Seconds for which the rest of a request is read that has been answered."""

JOINED: Final = 65_536
"""Bytes of the largest body that is copied behind its head; a larger one is handed over beside it."""


class Joining(asyncio.Transport):
    """Completes the head of an answer, and holds it back until its body comes, at the longest until the event loop's
    next turn.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._lines = b""
        self._head = b""
        self.unread = _nothing
        """Whether the caller still sends."""
        # What is asked at each request goes straight to the transport.
        self.is_closing = transport.is_closing  # type: ignore[method-assign]
        self.pause_reading = transport.pause_reading  # type: ignore[method-assign]
        self.resume_reading = transport.resume_reading  # type: ignore[method-assign]
        self.get_extra_info = transport.get_extra_info  # type: ignore[method-assign]

    def complete(self, lines: bytes) -> None:
        """Says that what is written next is a head, and which lines belong to it, each with its end."""
        self._lines = lines

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        lines, head = self._lines, self._head
        if lines:
            self._lines = b""
            self._flush()
            self._head = b"%s%s\r\n" % (data[:-2], lines)  # the empty line that ends it comes after them
            self._loop.call_soon(self._flush)
        elif head:
            self._head = b""
            if len(data) <= JOINED:
                self._transport.write(head + data)
            else:
                self._transport.writelines((head, data))
        else:
            self._transport.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self._flush()
        if self.unread():
            self._loop.call_later(UNREAD, self._transport.close)
        else:
            self._transport.close()

    def abort(self) -> None:
        self._head = b""
        self._transport.abort()

    @property
    def plain(self) -> asyncio.Transport:
        """The transport itself, for a protocol that takes the connection over."""
        self._flush()
        return self._transport

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)


def _nothing() -> bool:
    return False


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's, over a transport that joins what belongs together.

    An answer that ends the connection may come before the whole request: what is still sent is read for a moment, or
    the caller would meet a broken pipe in place of the answer.

    A connection that is idle when its server ends stays open for a moment: a request may be on its way, which would be
    answered with a reset. It is served, and its answer says that the connection ends (RFC 9112, section 9.6).
    """

    transport: asyncio.Transport
    _ending = False
    _whole = True
    _kept = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        joining = Joining(transport, self.loop)
        self._complete = joining.complete
        joining.unread = self._unread
        super().connection_made(joining)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._whole = False
        put_wire(self.scope, self._complete)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self._ending and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._whole = True
        if self._kept:
            self.transport.close()

    def _unread(self) -> bool:
        self._kept = not self._whole
        return self._kept

    def shutdown(self) -> None:
        if self._ending or not (self.cycle is None or self.cycle.response_complete):
            super().shutdown()
            return
        self._ending = True
        self.loop.call_later(LINGER, self.shutdown)

    def handle_websocket_upgrade(self) -> None:
        joining = self.transport
        assert isinstance(joining, Joining)  # noqa: S101 - as `connection_made` has set it
        self.transport = joining.plain
        super().handle_websocket_upgrade()
