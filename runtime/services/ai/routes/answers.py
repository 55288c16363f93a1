"""Answers that stop asking a provider the moment their caller is gone, before the first byte too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec
from litestar import Litestar, Request, Response
from litestar.background_tasks import BackgroundTask, BackgroundTasks
from litestar.datastructures import Cookie
from litestar.enums import MediaType
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send, TypeEncodersMap

from runtime.errors import Unauthenticated
from runtime.http.access import Caller, caller_of
from runtime.http.body import ClientGone
from runtime.http.revoked import revocation_of
from runtime.services.ai.patience import Patience
from runtime.services.ai.ports import Completion
from runtime.services.ai.request import ChatRequest

if TYPE_CHECKING:
    from decimal import Decimal

    from runtime.services.ai.gateway import Gateway
    from runtime.services.ai.stream import Streaming

STALL: Final = 30.0
"""Seconds that a caller may leave a write waiting before it is taken for gone."""

AGAIN: Final = 0.1
"""Seconds after which a task that goes on for a caller that is gone is cancelled once more."""

Headers = list[tuple[bytes, bytes]]
Sending = Callable[[Scope, Send, "Present"], Coroutine[Any, Any, None]]


class Present:
    """Cancels the task that runs it when the caller hangs up.

    Args:
        receive: the request's, whose body has been read.

    Raises at the end of the block:
        ClientGone: the caller has, before its answer was `begun`.
        Unauthenticated: it may not go on, before its answer was `begun`.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._cancelled = 0
        self._refused = ""
        self._watching: list[asyncio.Task[None]] = []
        self.begun: Callable[[str], None] | None = None
        """Once the answer has begun, what ends it with an error event of this message."""

    def unless(self, revoked: anyio.Event, caller: Caller) -> None:
        """Ends the answer when the caller's key or session is revoked, or runs out."""
        self._watching.append(asyncio.create_task(self._watch_revocation(revoked, caller)))

    async def __aenter__(self) -> Present:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        self._task = task
        self._watching.append(asyncio.create_task(self._watch()))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        for watching in self._watching:
            watching.cancel()
        if not self._cancelled:
            return False
        if error is None:  # it left in the very moment in which all was done: the cancellation is still to come
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        others = [self._task.uncancel() for _ in range(self._cancelled)][-1]
        if others or not isinstance(error, asyncio.CancelledError):
            return False
        if self.begun is None:
            raise Unauthenticated(self._refused) if self._refused else ClientGone("the caller hung up") from None
        return True

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        await self._leave()

    async def _watch_revocation(self, revoked: anyio.Event, caller: Caller) -> None:
        await revoked.wait()
        message = "you were signed out" if caller.session else "the key has been revoked"
        message = "the key has run out" if caller.expired else message
        if self.begun is not None:
            self.begun(message)
        else:
            self._refused = message
            await self._leave()

    async def _leave(self) -> None:
        while True:  # a cancellation can get lost in the Redis client: see `runtime.services.ending`
            self._cancelled += 1
            self._task.cancel()
            await asyncio.sleep(AGAIN)


class Deferred(Response[Any]):
    """An answer that is found while it is sent: so long somebody looks whether the caller is still there.

    Args:
        sending: finds and sends it.
    """

    def __init__(self, sending: Sending) -> None:
        super().__init__(None)
        self._sending = sending

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
        return _Watched(self._sending)


class _Watched(ASGIResponse):
    _should_set_content_length = False

    def __init__(self, sending: Sending) -> None:
        super().__init__()
        self._sending = sending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with Present(receive) as present:
            await self._sending(scope, send, present)


def whole(answer: Coroutine[Any, Any, Completion]) -> Deferred:
    """An answer that comes in one."""

    async def sending(_scope: Scope, send: Send, _: Present) -> None:
        await _whole(await answer, send)

    return Deferred(sending)


def chat(gateway: Gateway, body: bytes, *, user: str, key: str, key_credits: Decimal | None) -> Deferred:
    """The answer to a request for a chat completion, as a stream where it asks for one.

    Raises:
        Invalid: it is no such request.
    """
    request = ChatRequest(body)

    async def sending(scope: Scope, send: Send, present: Present) -> None:
        if request.stream:
            with revocation_of(scope) as revoked:
                present.unless(revoked, caller_of(scope))
                asked = gateway.stream(request, user=user, key=key, key_credits=key_credits)
                await _stream(await asked, send, present)
        else:
            await _whole(await gateway.complete(request, user=user, key=key, key_credits=key_credits), send)

    return Deferred(sending)


async def _whole(done: Completion, send: Send) -> None:
    headers: Headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(done.body)),
        (b"x-runtime-cost", dollars(done.cost)),
        *_told(done.provider, done.model, done.attempts, done.ignored, done.flagged),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": done.body, "more_body": False})


async def _stream(streaming: Streaming, send: Send, present: Present) -> None:
    async with aclosing(streaming.events()) as events:  # type: ignore[type-var]
        candidate = streaming.attempt.candidate
        headers: Headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
            *_told(candidate.provider, candidate.model, streaming.attempts, streaming.ignored, streaming.flagged),
        ]
        present.begun = streaming.refuse
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        patience = Patience(STALL)
        try:
            async for event in events:
                with patience:
                    await send({"type": "http.response.body", "body": event, "more_body": True})
        except TimeoutError:
            raise ClientGone("the caller does not read") from None
        finally:
            patience.close()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _told(provider: str, model: str, attempts: int, ignored: Any, flagged: Any) -> Headers:
    headers: Headers = [
        (b"x-runtime-provider", _latin(provider)),
        (b"x-runtime-model", _latin(model)),
        (b"x-runtime-attempts", b"%d" % attempts),
    ]
    if ignored:
        headers.append((b"x-runtime-ignored", _latin(", ".join(ignored))))
    if flagged:
        headers.append((b"x-runtime-flagged", msgspec.json.encode(flagged)[:1000]))
    return headers


def _latin(text: str) -> bytes:
    """Text for a header: names of models are the callers', and may hold anything."""
    return "".join(letter if letter.isprintable() and letter.isascii() else "?" for letter in text).encode()


def dollars(nano: int) -> bytes:
    """Nano-dollars as a decimal number of dollars.

    Example:
        >>> dollars(1_250_000), dollars(0), dollars(2_000_000_000)
        (b'0.00125', b'0', b'2')
    """
    whole_, part = divmod(nano, 10**9)
    return f"{whole_}.{part:09d}".rstrip("0").rstrip(".").encode()
