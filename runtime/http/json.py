"""JSON in and out: bodies are read with errors that say where they are, and answered without detours."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, Final

import msgspec
from litestar import Litestar, Request, Response
from litestar.enums import MediaType
from litestar.response.base import ASGIResponse
from litestar.types import Empty, Receive, Scope, Send

from runtime.errors import Invalid, Pointer

_OFFSET = re.compile(r" \(byte (\d+)\)$")
_JSON: Final = (b"content-type", b"application/json")
_BODILESS: Final = frozenset({204, 304})


class JsonRequest(Request[Any, Any, Any]):
    """A request whose malformed JSON is answered with line and column."""

    async def json(self) -> Any:
        """The body as plain data, None where there is none.

        Raises:
            Invalid: it is not JSON, or too deep.
        """
        if self._json is Empty:
            self._json = decode(await self.body())
        return self._json


class JsonResponse(Response[Any]):
    """The answer of a handler that returns plain values.

    Nearly all of ours are JSON with a status and nothing else: those need none of the headers, cookies and media types
    that Litestar puts together for each answer, which take it as long as the rest of its work.
    """

    def __init__(self, content: Any, **more: Any) -> None:
        if more.get("cookies") or more.get("headers"):
            super().__init__(content, **more)
            return
        self.content = content
        self.background = more.get("background")
        self.cookies = []
        self.encoding = more.get("encoding", "utf-8")
        self.headers = {}
        self.media_type = more.get("media_type")
        self.status_code = more.get("status_code")
        self.response_type_encoders = more.get("type_encoders") or {}

    def to_asgi_response(self, app: Litestar | None, request: Request[Any, Any, Any], **more: Any) -> ASGIResponse:
        plain = (
            self.media_type == MediaType.JSON
            and self.status_code not in _BODILESS
            and not (self.headers or self.cookies or self.background or any(more.values()))
        )
        if plain:
            with suppress(TypeError):  # a type that msgspec does not know, and Litestar may
                return _Plain(self.status_code or 200, msgspec.json.encode(self.content))
        return super().to_asgi_response(app, request, **more)


class _Plain(ASGIResponse):
    """A status and a body of JSON."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status_code = status
        self.body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [_JSON, (b"content-length", b"%d" % len(self.body))]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def decode(body: bytes) -> Any:
    """JSON text as plain data; None where it is empty.

    Raises:
        Invalid: says what is wrong, at which line and column.
    """
    try:
        return msgspec.json.decode(body or b"null")
    except RecursionError:
        raise Invalid("the body is nested too deeply", errors=[Pointer("", "too many levels of nesting")]) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(body, str(error)) from None


def malformed(body: bytes, message: str) -> Invalid:
    """The error for text that is not JSON.

    Args:
        message: msgspec's own, which ends with the offset: `… (byte 12)`.
    """
    offset = _OFFSET.search(message)
    what = _OFFSET.sub("", message).removeprefix("JSON is malformed: ")
    if offset is None:
        return Invalid(f"the body is not JSON: {what}", errors=[Pointer("", what)])
    before = body[: int(offset[1])]
    line = before.count(b"\n") + 1
    column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
    where = f"{what} at line {line}, column {column}"
    return Invalid(f"the body is not JSON: {where}", errors=[Pointer("", where)])
