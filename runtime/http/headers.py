"""What the head of a request says, and the security headers of every answer."""

from __future__ import annotations

from typing import Any, Final

from litestar.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_NO_STORE: Final = (b"cache-control", b"no-store")
_ADDED: Final = "runtime.headers"
_DATA_POLICY: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of a name, which is given in lower case; None where there is none."""
    for known, value in scope["headers"]:
        if known == name:
            return value
    return None


def method_of(scope: Scope) -> str:
    """The request's method, in capitals."""
    method = scope.get("method")
    return method if isinstance(method, str) else ""


def add_to_answer(scope: Scope, *headers: tuple[bytes, bytes]) -> None:
    """Headers for the answer, whatever it will be; `SecurityHeaders` sends them.

    Each layer that wrapped `send` for its own would cost more than what most of them do.
    """
    state: dict[str, Any] = scope.setdefault("state", {})
    state.setdefault(_ADDED, []).extend(headers)


class SecurityHeaders:
    """Adds to each answer what keeps a browser from misusing it, and what other layers have to say.

    An answer that says something of its own (the docs page its policy, an asset its caching) keeps it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *_ALWAYS, *scope["state"].get(_ADDED, ())]
                said = {name for name, _ in headers}
                headers.extend(default for default in (_NO_STORE, _DATA_POLICY) if default[0] not in said)
                message["headers"] = headers
            await send(message)

        scope.setdefault("state", {})
        await self._app(scope, receive, guarded)
