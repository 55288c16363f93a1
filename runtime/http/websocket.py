"""WebSockets: who may open one, and what a session sees of it.

An opening is held against the same keys and limits as any request, and, where a browser opens it, against the origins
that may call: the same-origin policy does not hold for WebSockets (RFC 6455, section 10.2). What is refused is
answered as a problem, before there is a connection.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import anyio
import msgspec
from litestar.types import Receive, Scope, Send

from runtime.errors import Forbidden, NotFound, TooMany
from runtime.http.access import Caller, caller_of
from runtime.http.drain import drain_of
from runtime.http.guard import ANY, Guard
from runtime.http.headers import added_to_answer, header
from runtime.http.limits import Limiter
from runtime.http.live import Live
from runtime.http.problems import MEDIA_TYPE, describe
from runtime.http.revoked import revocation_of

STALL: Final = 30.0
"""Seconds that a client may leave a write waiting."""
MOST_OF_A_CALLER: Final = 20
"""Connections of one caller, in one instance."""
GOING_AWAY: Final = 1012
"""The service restarts; the client is to come back."""
TOO_SLOW: Final = 1013
BROKEN: Final = 1011
POLICY: Final = 1008
EXPIRED: Final = "the key has run out"

_log = logging.getLogger("runtime.http")


class Socket:
    """One open WebSocket, of JSON messages in text frames."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.caller: Caller = caller_of(scope)
        self.drain = drain_of(scope)
        self._receive = receive
        self._send = send
        self._closed = False

    async def messages(self) -> AsyncIterator[bytes]:
        """What the client sends, until it goes."""
        while True:
            message: Any = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._closed = True
                return
            text = message.get("text")
            yield text.encode() if text is not None else message.get("bytes") or b""

    async def send(self, value: Any) -> None:
        """Sends a message.

        Raises:
            TimeoutError: the client does not read.
        """
        text = msgspec.json.encode(value).decode()
        with anyio.fail_after(STALL):
            await self._send({"type": "websocket.send", "text": text, "bytes": None})

    async def close(self, code: int, reason: str) -> None:
        """Ends the connection, once."""
        if self._closed:
            return
        self._closed = True
        with anyio.move_on_after(1.0):
            await self._send({"type": "websocket.close", "code": code, "reason": reason})


class Session(Protocol):
    """Speaks with one client; returns when there is nothing more to say."""

    async def __call__(self, socket: Socket) -> None: ...


class WebSockets:
    """Opens WebSockets and hands each to its session.

    Args:
        sessions: by path.
        guard: knows the callers.
        limiter: counts openings as requests.
        live: the limit that holds now.
        origins: whose pages may connect, beside those that this server itself serves.
    """

    def __init__(
        self, sessions: Mapping[str, Session], guard: Guard, limiter: Limiter, live: Live, origins: frozenset[str]
    ) -> None:
        self._sessions = sessions
        self._guard = guard
        self._limiter = limiter
        self._live = live
        self._origins = origins
        self._open: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        try:
            session = await self._admitted(scope)
        except Exception as error:  # noqa: BLE001 - answered as the problem that it is
            await _refuse(scope, send, error)
            return
        await send({"type": "websocket.accept", "subprotocol": None, "headers": added_to_answer(scope)})
        socket = Socket(scope, receive, send)
        who = socket.caller.id
        self._open[who] = self._open.get(who, 0) + 1
        try:
            with revocation_of(scope) as revoked:
                await self._run(session, socket, revoked)
        finally:
            self._open[who] -= 1
            if not self._open[who]:
                del self._open[who]

    async def _run(self, session: Session, socket: Socket, revoked: anyio.Event) -> None:
        async def end_on(event: anyio.Event, code: int, reason: str) -> None:
            await event.wait()
            await socket.close(code, EXPIRED if code == POLICY and socket.caller.expired else reason)
            group.cancel_scope.cancel()

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(end_on, socket.drain, GOING_AWAY, "come back")
                group.start_soon(end_on, revoked, POLICY, "signed out")
                await session(socket)
                group.cancel_scope.cancel()
            await socket.close(1000, "")
        except* TimeoutError:
            _log.info("a WebSocket was closed: its client does not read", extra={"stall": STALL})
            await socket.close(TOO_SLOW, "too slow")
        except* Exception:  # noqa: BLE001 - the connection is open: all that is left is to tell both sides
            _log.exception("a WebSocket failed")
            await socket.close(BROKEN, "an error in the server")

    async def _admitted(self, scope: Scope) -> Session:
        """The session of a path, for a caller who may open it.

        Raises:
            NotFound, Unauthenticated, Forbidden, TooMany: it may not.
        """
        session = self._sessions.get(scope["path"])
        if session is None:
            raise NotFound("there is no WebSocket at this address")
        self._check_origin(scope)
        await self._guard.check(scope, ANY)
        who, limit = caller_of(scope).id, self._live.rate_limit
        verdict = await self._limiter.hit(who, limit)
        if not verdict.allowed:
            raise TooMany(f"more than {limit.count} requests in {limit.seconds:g} s", retry_after=verdict.reset)
        if self._open.get(who, 0) >= MOST_OF_A_CALLER:
            raise TooMany(f"a caller may have {MOST_OF_A_CALLER} WebSockets open", retry_after=1.0)
        return session

    def _check_origin(self, scope: Scope) -> None:
        origin = header(scope, b"origin")
        if origin is None:
            return  # no browser
        named = origin.decode("latin-1")
        host = (header(scope, b"host") or b"").decode("latin-1")
        if "*" in self._origins or named in self._origins or urlsplit(named).netloc == host:
            return
        raise Forbidden(f"pages of {named[:200]} may not connect", remedy="Add the origin to api.cors.origins.")


async def _refuse(scope: Scope, send: Any, error: Exception) -> None:
    problem, headers = describe(error)
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": POLICY, "reason": problem.title})
        return
    body = msgspec.json.encode(problem)
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), "cache-control": "no-store", **headers}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    raw += added_to_answer(scope)
    await send({"type": "websocket.http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
