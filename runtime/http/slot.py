"""The place of the application behind the server: another one takes it over without a refused connection.

From the swap on, new requests go to the new application; those under way end in the old one, whose event
streams are told to end. The old one's lifespan ends after its last request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import anyio
from litestar.types import Receive, Scope, Send

from runtime.errors import Fault, StartFailed
from runtime.http.drain import put_drain

_log = logging.getLogger("runtime.http")


class Application(Protocol):
    """What a slot can hold: an ASGI application for HTTP, and what surrounds its life."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]: ...

    def lifespan(self) -> AbstractAsyncContextManager[None]: ...


class _Tenant:
    """An application while it is in the slot, and until its last request has ended."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self.drain = anyio.Event()
        self.requests = 0
        self._ending = False
        self._free = anyio.Event()
        self._idle = anyio.Event()
        self._up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live())

    async def _live(self) -> None:
        """Its lifespan, entered and left in one task, as the context managers inside demand."""
        try:
            async with self.app.lifespan():
                self._up.set_result(None)
                await self._idle.wait()
        except Exception as error:  # noqa: BLE001 - whatever a lifespan hook raises
            if self._up.done():
                _log.exception("the application did not end well")
            else:
                self._up.set_exception(error)

    async def start(self) -> None:
        """Returns when its lifespan has begun.

        Raises:
            StartFailed: it has not.
        """
        try:
            await self._up
        except asyncio.CancelledError:
            self._life.cancel()
            raise
        except Exception as error:
            cause: BaseException = error
            while isinstance(cause, BaseExceptionGroup):
                cause = cause.exceptions[0]
            if isinstance(cause, Fault):
                raise cause from None
            why = f"{type(cause).__name__}: {cause}"
            raise StartFailed("http", f"the application did not start: {why}") from error

    def leave(self) -> None:
        """One of its requests has ended."""
        self.requests -= 1
        if self._ending and not self.requests:
            self._free.set()

    async def end(self, limit: float) -> None:
        """Asks its streams to end and waits for its requests, then ends its lifespan."""
        self.drain.set()
        self._ending = True
        if not self.requests:
            self._free.set()
        with anyio.move_on_after(limit):
            await self._free.wait()
        self._idle.set()
        await asyncio.wait({self._life}, timeout=limit)
        self._life.cancel()


class Slot:
    """An ASGI application that hands each request to the one it holds."""

    def __init__(self) -> None:
        self._tenant: _Tenant | None = None
        self._endings: set[asyncio.Task[None]] = set()

    @property
    def requests(self) -> int:
        """How many are under way in the present application."""
        return self._tenant.requests if self._tenant else 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        tenant = self._tenant
        if tenant is None or scope["type"] not in ("http", "websocket"):
            raise RuntimeError("there is no application for this request")
        put_drain(scope, tenant.drain)
        tenant.requests += 1
        try:
            await tenant.app(scope, receive, send)
        finally:
            tenant.leave()

    async def take(self, app: Application, *, drain: float) -> None:
        """Puts an application in; the one before goes on with its requests, aside.

        Args:
            drain: seconds that its requests may take.

        Raises:
            StartFailed: the new one's lifespan did not begin; the one before stays.
        """
        tenant = _Tenant(app)
        await tenant.start()
        before, self._tenant = self._tenant, tenant
        if before is not None:
            ending = asyncio.create_task(before.end(drain))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    def drain(self) -> None:
        """Asks the event streams to end."""
        if self._tenant is not None:
            self._tenant.drain.set()

    async def empty(self, limit: float) -> None:
        """Ends what is still in here."""
        tenant, self._tenant = self._tenant, None
        if tenant is not None:
            await tenant.end(limit)
        if self._endings:
            await asyncio.wait(self._endings, timeout=limit)
