"""The HTTP server: uvicorn inside the running event loop, on a socket that it is handed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import anyio
import uvicorn

from runtime.errors import Fault, StartFailed
from runtime.health import Health
from runtime.http.api import Api
from runtime.http.denial import WebSocketProtocol
from runtime.http.slot import Slot
from runtime.http.wire import LINGER, HttpProtocol

KEEP_ALIVE: Final = 30
"""Seconds that an idle connection stays open."""

DRAIN: Final = 5.0
MAX_MESSAGE: Final = 16_384
"""Bytes of a WebSocket message from a client."""
PING: Final = 20.0
"""Seconds between pings of a WebSocket, and those after which a client that does not answer is gone."""


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers: signals belong to the environment."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()
        self._ended = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.accepting.set()

    async def main_loop(self) -> None:
        """Wakes once a second, for the Date header, and at once for the end."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), 1.0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """The same as the original's, but that it does not sleep where nothing is left to wait for."""
        for accepting in self.servers:
            accepting.close()
        for listener in sockets or ():
            listener.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        await asyncio.sleep(LINGER if state.connections else 0)
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=self.config.timeout_graceful_shutdown)
        for task in list(state.tasks):
            task.cancel("the time to drain is over")
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=1.0)
        for connection in list(state.connections):
            connection.shutdown()

    def end(self) -> None:
        self.should_exit = True
        self._ended.set()


class HttpServer:
    """Serves an application over HTTP/1.1; a component of the kernel.

    Args:
        api: the application, or what makes it: then it is made in a thread when the server starts, since that takes
            a quarter of a second, in which a server that is being replaced has requests to answer. `swap` replaces
            it while running.
        listen: gives a listening socket, once a start; the server closes it when it stops.
        trusted_proxies: addresses or networks whose `X-Forwarded-For` and `X-Forwarded-Proto` count.
        drain: seconds that requests may take to end when it stops.

    Example:
        >>> server = HttpServer(api, lambda: sockets.listen("127.0.0.1", 8080))
        >>> await server.start()
        >>> server.url
        'http://127.0.0.1:8080'
    """

    def __init__(
        self,
        api: Api | Callable[[], Api],
        listen: Callable[[], socket.socket],
        *,
        trusted_proxies: Sequence[str] = (),
        drain: float = DRAIN,
    ) -> None:
        self._made = api if isinstance(api, Api) else None
        self._make = None if isinstance(api, Api) else api
        self._listen = listen
        self._trusted_proxies = list(trusted_proxies)
        self._drain = drain
        self._slot = Slot()
        self._uvicorn: _Uvicorn | None = None
        self._serving: asyncio.Task[None] | None = None
        self._stopping = False
        self.url = ""
        """Where it answers; empty before the first start."""

    @property
    def _api(self) -> Api:
        assert self._made is not None  # noqa: S101 - made by the first start
        return self._made

    async def start(self) -> None:
        """Returns when it accepts connections.

        Raises:
            StartFailed: the application's lifespan or the socket failed.
        """
        self._stopping = False
        if self._made is None and self._make is not None:
            self._made = await anyio.to_thread.run_sync(self._make)
        await self._slot.take(self._api, drain=self._drain)
        try:
            listener = self._listen()
            if listener.family in (socket.AF_INET, socket.AF_INET6):  # or small answers wait 40 ms for an ACK
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.url = _url(listener)
            server = self._uvicorn = _Uvicorn(self._config())
            serving = self._serving = asyncio.create_task(_serve(server, listener), name="http")
            accepting = asyncio.create_task(server.accepting.wait())
            await asyncio.wait({serving, accepting}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                accepting.cancel()
                raise StartFailed("http", "the server ended while it started") from serving.exception()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stops accepting, lets requests end and streams say good-bye, cuts off what takes too long."""
        self._stopping = True
        server, serving = self._uvicorn, self._serving
        self._uvicorn = self._serving = None
        self._slot.drain()
        if server is not None and serving is not None:
            server.end()
            try:
                await asyncio.wait({serving}, timeout=self._drain + 1.0)
            finally:
                late = {serving, *server.server_state.tasks}
                for task in late:
                    task.cancel()
                await asyncio.wait(late, timeout=1.0)
        await self._slot.empty(1.0)

    async def watch(self) -> None:
        """Runs as long as the server does.

        Raises:
            Fault: it has died.
        """
        serving = self._serving
        if serving is None:
            return
        await asyncio.wait({serving})
        if not self._stopping:
            error = None if serving.cancelled() else serving.exception()
            raise Fault(f"the HTTP server died: {type(error).__name__ if error else 'it ended by itself'}") from error

    async def swap(self, api: Api) -> None:
        """Puts another application in the place of the present one; no connection is refused, no request
        lost.

        Raises:
            StartFailed: the new one did not start; the present one stays.
        """
        await self._slot.take(api, drain=self._drain)
        self._made = api

    async def update(self, fields: Mapping[str, Any]) -> None:
        """Takes new live settings: `rate_limit`, `max_body`."""
        self._api.live.update(fields)

    async def health(self) -> Health:
        server, serving = self._uvicorn, self._serving
        if server is None or serving is None or serving.done():
            return Health("down", "the server does not run")
        details = {
            "url": self.url,
            "connections": len(server.server_state.connections),
            "requests": self._slot.requests,
            "limits_shared": self._api.limiter.shared,
        }
        if self._api.limiter.alone:
            return Health("degraded", "limits are counted by this instance alone: Redis does not answer", details)
        return Health(details=details)

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self._slot,
            loop="none",
            http=HttpProtocol,
            ws=WebSocketProtocol,
            ws_max_size=MAX_MESSAGE,
            ws_ping_interval=PING,
            ws_ping_timeout=PING,
            ws_per_message_deflate=False,  # it would take 300 kB a connection
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(self._trusted_proxies),
            forwarded_allow_ips=self._trusted_proxies,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=max(1, round(self._drain)),
        )


async def _serve(server: _Uvicorn, listener: socket.socket) -> None:
    try:
        await server.serve([listener])
    except SystemExit as error:  # uvicorn's way of saying that it cannot start; it must not end the process
        raise Fault(f"uvicorn gave up (exit {error.code})") from error
    finally:
        for accepting in getattr(server, "servers", ()):  # where it died it has not closed them itself
            accepting.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        listener.close()


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - as callers here reach it
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
