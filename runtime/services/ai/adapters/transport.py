"""Requests to one provider over HTTP: one pool of connections for the life of the component.

aiohttp carries the bytes: a call through it costs a quarter of the CPU time of one through the SDKs' own clients, and
most of what is left is the parser's. Redirects are not followed, since they would carry the key elsewhere.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from runtime.services.ai.failures import Failure
from runtime.services.ai.sse import Events
from runtime.telemetry.context import traceparent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import aiohttp

LARGEST_ANSWER: Final = 64_000_000
LARGEST_ERROR: Final = 64_000
CONNECT: Final = 10.0
"""Seconds to reach the server and shake hands."""
_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


class Reply(NamedTuple):
    """An answer that has been read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Opened:
    """A stream whose head has come: 200 and Server-Sent Events."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._host = response.url.host or ""
        self._read = response.content.readany
        self._feed = Events().feed

    async def read(self) -> list[bytes]:
        """The data of the events that one read brings, perhaps none; empty at the end: see `ended`.

        Raises:
            Failure: the connection broke (`truncated`), or what came is no stream of events (`malformed`).
        """
        while True:
            try:
                data = await self._read()
            except Exception as error:
                if (failure := _failure(error, self._host, begun=True)) is None:
                    raise
                raise failure from error
            if not data:
                raise Failure("truncated", "the stream ended without its last event")
            if events := self._feed(data):
                return events


class Transport:
    """Sends requests; made and closed in the same event loop.

    Args:
        keep_alive: seconds that an idle connection is kept; less than the server does, which would otherwise close it
            under a request.
    """

    def __init__(self, *, keep_alive: float) -> None:
        import aiohttp

        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=keep_alive)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept-Encoding",),
            trust_env=any(os.environ.get(name) for name in _PROXIES),
            read_bufsize=2**18,
        )

    async def close(self) -> None:
        await self._session.close()

    async def send(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        """Sends a request and reads its answer whole, whatever its status.

        Raises:
            Failure: there is none (`connection`, `timeout`), or it broke off (`truncated`).
        """
        with _explained(url, begun=False):
            response = await self._session.request(
                method, url, data=body, headers=_traced(headers), allow_redirects=False
            )
        try:
            return await _whole(response, LARGEST_ANSWER)
        finally:
            response.release()

    @asynccontextmanager
    async def open(self, url: str, body: bytes, headers: Mapping[str, str]) -> AsyncIterator[Reply | Opened]:
        """Sends a request whose answer is a stream; an answer that is none is read whole.

        Raises:
            Failure: as `send`.
        """
        with _explained(url, begun=False):
            response = await self._session.post(url, data=body, headers=_traced(headers), allow_redirects=False)
        try:
            if response.status == 200 and "event-stream" in response.headers.get("Content-Type", "event-stream"):
                yield Opened(response)
            else:
                yield await _whole(response, LARGEST_ERROR)
        finally:
            # What has not been read to its end is thrown away with its connection: the provider stops at once.
            response.close()


def _traced(headers: Mapping[str, str]) -> Mapping[str, str]:
    """With the name of the span that the request belongs to, so that a provider of one's own can go on with it."""
    span = traceparent.get()
    return headers if span is None else {**headers, "traceparent": span}


async def _whole(response: aiohttp.ClientResponse, most: int) -> Reply:
    parts: list[bytes] = []
    size = 0
    while True:
        with _explained(response.url.host or "", begun=True):
            data = await response.content.readany()
        if not data:
            return Reply(response.status, response.headers, b"".join(parts))
        size += len(data)
        if size > most:
            response.close()
            if response.status >= 400:
                return Reply(response.status, response.headers, b"".join(parts))
            raise Failure("malformed", f"an answer of more than {most:,} bytes")
        parts.append(data)


class _explained:  # noqa: N801 - used as a statement; a generator would cost more than what it guards
    """Turns aiohttp's errors into failures."""

    __slots__ = ("_begun", "_where")

    def __init__(self, where: str, *, begun: bool) -> None:
        self._where = where
        self._begun = begun

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, Failure | asyncio.CancelledError):
            return
        if (failure := _failure(error, self._where, begun=self._begun)) is not None:
            raise failure from error


def _failure(error: BaseException, where: str, *, begun: bool) -> Failure | None:
    import aiohttp

    host = where.split("?", 1)[0]
    what = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        return Failure("timeout", f"{host} does not answer: {what}")
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ClientConnectionError | OSError):
        if begun:
            return Failure("truncated", f"the answer broke off: {what}")
        return Failure("connection", f"cannot reach {host}: {what}")
    if isinstance(error, aiohttp.ClientError | ValueError):
        return Failure("malformed", f"{host} does not speak HTTP: {what}"[:300])
    return None
