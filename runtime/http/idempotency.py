"""`Idempotency-Key`: a write that is sent again gets the first answer again, and is not done twice.

The first request of a key takes a short lock, renewed while it runs; a crash frees the key when the lock
expires. Its answer is kept for a day, unless it says that nothing was decided (a 5xx, or 429): then the key
is free again. Keys belong to their caller; the method, the path, the query and the body must be the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final, Literal

import anyio
import msgspec
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from redis.exceptions import RedisError

from runtime.errors import Conflict, Fault, Invalid, Pointer
from runtime.http.access import caller_of
from runtime.http.body import ClientGone
from runtime.http.headers import header, method_of
from runtime.storage.ports import Cache

KEPT: Final = 24 * 3600.0
LOCK: Final = 20.0
"""Seconds after which a crashed request frees its key."""

LONGEST_KEY: Final = 255
LARGEST_ANSWER: Final = 1_000_000
_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_NOT_KEPT: Final = frozenset({b"content-length"})

_log = logging.getLogger("runtime.http")


class InProgress(Conflict):
    """The first request of an idempotency key still runs.

    Args:
        retry_after: seconds until it makes sense to ask again.
    """

    title = "Still in progress"

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Record(msgspec.Struct, omit_defaults=True):
    """What is kept of a key.

    Args:
        state: `running`; `done`; `unkept`: done, but its answer was too large, a stream, or held a secret.
        print: a digest of the request.
    """

    state: Literal["running", "done", "unkept"]
    print: str
    status: int = 0
    headers: list[tuple[str, str]] = []
    body: bytes = b""


class Idempotency:
    """Replays the first answer of a key.

    Args:
        cache: shared by all instances.
        prefix: of the keys in it, `idempotency:`.
    """

    def __init__(self, app: ASGIApp, cache: Cache, prefix: str = "idempotency:") -> None:
        self._app = app
        self._cache = cache
        self._prefix = prefix

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        sent = header(scope, b"idempotency-key") if method_of(scope) in _WRITES else None
        if sent is None:
            return self._app(scope, receive, send)
        return self._once(sent, scope, receive, send)

    async def _once(self, sent: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        key = self._prefix + hashlib.sha256(caller_of(scope).id.encode() + b"\0" + _sane(sent)).hexdigest()
        body = await _whole(receive)
        mine = Record("running", _digest(scope, body))
        first = await self._take(key, mine)
        if first is None:
            await self._run(key, mine, scope, _with_body(body, receive), send)
        elif first.print != mine.print:
            raise Conflict(
                "this Idempotency-Key was used for another request", remedy="Use a new key for a new request."
            )
        elif first.state == "running":
            raise InProgress("the first request of this Idempotency-Key still runs", retry_after=1.0)
        elif first.state == "unkept":
            raise Conflict(
                "this request was already done; its answer is not kept",
                remedy="Look up its result instead of sending it again.",
            )
        else:
            await _replay(first, send)

    async def _take(self, key: str, mine: Record) -> Record | None:
        """Takes the key for this request; the record of the first one where there was one."""
        while not await self._cache.add(key, msgspec.msgpack.encode(mine), ttl=LOCK):
            stored = await self._cache.get(key)
            if stored is not None:  # else it expired in between: try again
                return msgspec.msgpack.decode(stored, type=Record)
        return None

    async def _run(self, key: str, mine: Record, scope: Scope, receive: Receive, send: Send) -> None:
        async def keep(record: Record | None) -> None:
            try:
                if record is None:
                    await self._cache.delete(key)
                else:
                    await self._cache.set(key, msgspec.msgpack.encode(record), ttl=KEPT)
            except (Fault, RedisError, OSError) as error:  # the work is done: its caller shall know
                _log.warning("an idempotency key could not be kept", extra={"reason": str(error)})

        secret = bool(scope["route_handler"].opt.get("secret_answer"))
        answer = _Answer(mine.print, send, keep, secret=secret)
        renewal = asyncio.create_task(self._renew(key, mine))
        try:
            await self._app(scope, receive, answer.send)
        finally:
            renewal.cancel()
            if not answer.complete:
                with anyio.CancelScope(shield=True), anyio.move_on_after(2.0):
                    await keep(None)

    async def _renew(self, key: str, mine: Record) -> None:
        while True:
            await anyio.sleep(LOCK / 3)
            try:
                await self._cache.set(key, msgspec.msgpack.encode(mine), ttl=LOCK)
            except (Fault, RedisError, OSError) as error:
                _log.warning("the lock of an idempotency key could not be renewed", extra={"reason": str(error)})


class _Answer:
    """An answer on its way out: held back until its record is stored, so that a caller who has it can rely
    on that.

    One that grows too large, or a stream, goes out as it comes; its record says only that the work was
    done. So does that of a route which declares `opt={"secret_answer": True, …}`.
    """

    def __init__(
        self, print_: str, send: Send, keep: Callable[[Record | None], Awaitable[None]], *, secret: bool
    ) -> None:
        self.complete = False
        self._secret = secret
        self._print = print_
        self._send = send
        self._keep = keep
        self._start: Any = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._passing = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            if any(
                value.startswith(b"text/event-stream") for name, value in message["headers"] if name == b"content-type"
            ):
                await self._pass()
            return
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        last = not message.get("more_body", False)
        body = message.get("body", b"")
        self._size += len(body)
        if not self._passing:
            self._chunks.append(body)
            if self._size > LARGEST_ANSWER:
                await self._pass()
        if last:
            await self._keep(self._record())
            self.complete = True
        if self._passing:
            await self._send(message)
        elif last:
            await self._send(self._start)
            await self._send({"type": "http.response.body", "body": b"".join(self._chunks), "more_body": False})

    async def _pass(self) -> None:
        self._passing = True
        await self._send(self._start)
        for chunk in self._chunks[:-1]:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    def _record(self) -> Record | None:
        status = self._start["status"]
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            return None
        if self._passing or self._secret:
            return Record("unkept", self._print)
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in self._start["headers"]
            if name not in _NOT_KEPT
        ]
        return Record("done", self._print, status, headers, b"".join(self._chunks))


def _sane(key: bytes) -> bytes:
    if not 0 < len(key) <= LONGEST_KEY or not key.decode("latin-1").isprintable():
        raise Invalid(
            f"Idempotency-Key is not 1 to {LONGEST_KEY} printable characters",
            errors=[Pointer("#Idempotency-Key", "too long, empty or not printable")],
            remedy="Use a UUID.",
        )
    return key


def _digest(scope: Scope, body: bytes) -> str:
    head = f"{method_of(scope)} {scope['path']}".encode() + b"?" + scope["query_string"] + b"\n"
    return hashlib.sha256(head + body).hexdigest()


async def _whole(receive: Receive) -> bytes:
    parts = []
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("the caller hung up before its request was whole")
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _with_body(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once more, and after it whatever else comes."""
    given = False

    async def again() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _replay(record: Record, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in record.headers]
    headers += [(b"content-length", b"%d" % len(record.body)), (b"idempotency-replayed", b"true")]
    await send({"type": "http.response.start", "status": record.status, "headers": headers})
    await send({"type": "http.response.body", "body": record.body, "more_body": False})
