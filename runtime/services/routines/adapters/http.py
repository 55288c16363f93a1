"""HTTP requests of steps, over aiohttp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from runtime.services.addresses import OwnNetworkError, public_socket
from runtime.services.routines.step import StepFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp

LARGEST: Final = 1_000_000
"""Bytes of an answer."""
CONNECTIONS: Final = 50


class HttpRequests:
    """Sends requests; keeps connections open until `close`. Nothing is loaded before there is something to send."""

    def __init__(self) -> None:
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        timeout: float | None,
        private: bool,
    ) -> tuple[int, str, bytes]:
        import aiohttp

        place = _place(url)
        limit = aiohttp.ClientTimeout(total=timeout)
        try:
            async with self._session(private).request(
                method, url, headers=headers, data=body, timeout=limit, allow_redirects=False
            ) as answer:
                content = await answer.content.read(LARGEST + 1)
                while len(content) <= LARGEST and (more := await answer.content.read(LARGEST + 1)):
                    content += more
                status, kind = answer.status, answer.content_type
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            if isinstance(getattr(error, "os_error", error), OwnNetworkError):
                raise StepFailed(
                    f"{place} is in the own network; `private_addresses: true` lets the step go there"
                ) from error
            if isinstance(error, aiohttp.InvalidURL | ValueError):
                raise StepFailed(f"{place} cannot be asked ({type(error).__name__})") from error
            why = (
                f"within {timeout:g} s" if isinstance(error, TimeoutError) and timeout else f"({type(error).__name__})"
            )
            raise StepFailed(f"{place} does not answer {why}", passing=True) from error
        if len(content) > LARGEST:
            raise StepFailed(f"{place} answers with more than {LARGEST:,} bytes")
        return status, kind, content

    async def close(self) -> None:
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            await session.close()

    def _session(self, private: bool) -> aiohttp.ClientSession:
        import aiohttp

        if private not in self._sessions:
            guarded = None if private else public_socket
            self._sessions[private] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS, socket_factory=guarded),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._sessions[private]


def _place(url: str) -> str:
    """Where a request goes, for messages: without the path and the query, which may hold what is nobody's business.

    Raises:
        StepFailed: it is no web address.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise StepFailed("`url` gives no http or https address")
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}"
