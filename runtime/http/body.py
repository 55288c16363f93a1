"""Which bodies are read at all: none above the limit, and JSON only unless a route says otherwise."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from litestar.types import ASGIApp, HTTPReceiveMessage, Receive, Scope, Send

from runtime.errors import Fault, Invalid, TooLarge
from runtime.http.headers import header
from runtime.http.live import Live
from runtime.http.problems import Unsupported

JSON: Final = frozenset({"application/json"})


class ClientGone(Fault):
    """The caller hung up before its request was whole; nobody is left to read an answer."""

    status = 499
    title = "Client closed the connection"


class Bodies:
    """Refuses bodies that are too large or of a wrong media type.

    A route that reads other types declares them: `opt={"media": {"application/x-www-form-urlencoded"}, …}`.

    Args:
        live: its `max_body` is the limit; bytes are counted as they come, whatever `Content-Length` says.
    """

    def __init__(self, app: ASGIApp, live: Live) -> None:
        self._app = app
        self._live = live

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        length = self._announced(scope)
        if length == 0:
            return self._app(scope, receive, send)
        self._check_type(scope)
        count = 0
        whole = False

        async def counted() -> HTTPReceiveMessage:
            nonlocal count, whole
            message: Any = await receive()
            if message["type"] == "http.request":
                count += len(message.get("body", b""))
                if count > self._live.max_body:
                    raise self._too_large()
                whole = not message.get("more_body", False)
            elif not whole:
                raise ClientGone("the caller hung up before its request was whole")
            return message  # type: ignore[no-any-return]

        return self._app(scope, counted, send)

    def _announced(self, scope: Scope) -> int | None:
        """What `Content-Length` says; None for a chunked body.

        Raises:
            TooLarge: it is above the limit.
            Invalid: it is no number.
        """
        text, chunked = None, False
        for name, value in scope["headers"]:
            if name == b"content-length":
                text = value if text is None else text
            elif name == b"transfer-encoding":
                chunked = True
        if text is None:
            return None if chunked else 0
        if not text.isdigit():
            raise Invalid("Content-Length is not a number")
        if len(text) > 15 or int(text) > self._live.max_body:
            raise self._too_large()
        return int(text)

    def _check_type(self, scope: Scope) -> None:
        sent = header(scope, b"content-type")
        if sent is None:
            return  # read as JSON, which says itself whether it is
        media = sent.split(b";", 1)[0].strip().lower().decode("latin-1")
        allowed = scope["route_handler"].opt.get("media", JSON)
        if media in allowed or (allowed is JSON and media.startswith("application/") and media.endswith("+json")):
            return
        raise Unsupported(
            f"this route does not read {media or 'an empty media type'}",
            remedy=f"Send the header Content-Type: {' or '.join(sorted(allowed))}.",
        )

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the body is larger than {self._live.max_body:,} bytes",
            remedy="Send less, or raise api.max_body.",
        )
