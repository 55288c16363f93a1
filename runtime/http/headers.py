"""What the head of a request says, and the security headers of every answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from litestar.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_DEFAULTS: Final = {
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
}
_ADDED: Final = "runtime.headers"
_STATUS: Final = "runtime.status"
_WIRE: Final = "runtime.wire"

Wire = Callable[[bytes], None]
"""Takes header lines for the head that is sent next, as they go over the wire.

A server checks each header that an application gives it. What is said here is made by this project alone, and needs no
second look, ten times for each answer.
"""


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of a name, which is given in lower case; None where there is none."""
    for known, value in scope["headers"]:
        if known == name:
            return value
    return None


def method_of(scope: Scope) -> str:
    """The request's method, in capitals; empty for a WebSocket."""
    method: Any = scope.get("method", "")
    return method  # type: ignore[no-any-return]


def put_wire(scope: Any, wire: Wire) -> None:
    """Attaches it to a request; done once, by the server. Without it the headers go by way of the application."""
    scope["state"][_WIRE] = wire


def status_of(scope: Scope) -> int:
    """The status that a request was answered with; 0 as long as it is not."""
    return scope["state"].get(_STATUS, 0)  # type: ignore[no-any-return]


def add_to_answer(scope: Scope, *headers: tuple[bytes, bytes]) -> None:
    """Headers for the answer, whatever it will be; `SecurityHeaders` sends them.

    Each layer that wrapped `send` for its own would cost more than what most of them do.
    """
    state: dict[str, Any] = scope.setdefault("state", {})
    state.setdefault(_ADDED, []).extend(headers)


def added_to_answer(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The headers that layers have for the answer."""
    return list(scope.get("state", {}).get(_ADDED, ()))


class SecurityHeaders:
    """Adds to each answer what keeps a browser from misusing it, and what other layers have to say; notes its status.

    An answer that says something of its own (the docs page its policy, an asset its caching) keeps it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        state: dict[str, Any] = scope.setdefault("state", {})
        added: list[tuple[bytes, bytes]] = state.setdefault(_ADDED, [])

        def guarded(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                state[_STATUS] = message["status"]
                _complete(message, added, state.get(_WIRE))
            return send(message)

        return self._app(scope, receive, guarded)


def _complete(message: Any, added: list[tuple[bytes, bytes]], wire: Wire | None) -> None:
    own = message["headers"]
    said = dict(own)
    defaults = _DEFAULTS if said.keys().isdisjoint(_DEFAULTS) else {k: v for k, v in _DEFAULTS.items() if k not in said}
    if wire is None:
        message["headers"] = [*own, *added, *_ALWAYS, *defaults.items()]
    else:
        constant = _CONSTANT if defaults is _DEFAULTS else _lines([*_ALWAYS, *defaults.items()])
        wire(_lines(added) + constant)


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join([b"%s: %s\r\n" % header for header in headers])


_CONSTANT: Final = _lines([*_ALWAYS, *_DEFAULTS.items()])
