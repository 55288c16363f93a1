"""What can go wrong with a provider, and what has to follow."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import contextmanager
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from tests.services.ai.gateway.formats import WORDS, answer, answering, error, events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.services.ai.gateway.upstream import Answering, Hit, Sender

State = Literal["active", "cooldown", "disabled"]


class Fault(NamedTuple):
    """A fault before the first content.

    Args:
        outcome: the class in the ledger.
        state: of the provider after it, where one failure opens the breaker.
        next: whether the chain goes on to its next model.
        status: what the caller gets where it does not.
        again: whether the same model is asked once more.
    """

    outcome: str
    state: State
    next: bool
    status: int
    again: bool = False


SERVER: Final = Fault("server_error", "cooldown", True, 502, again=True)
LIMIT: Final = Fault("rate_limit", "cooldown", True, 429, again=True)

STATUSES: Final[dict[str, tuple[int, str, dict[str, str], Fault]]] = {
    "400": (400, "messages: too odd", {}, Fault("invalid_request", "active", False, 400)),
    "400 context": (400, "prompt is too long: 9 > 8", {}, Fault("context_window", "active", True, 400)),
    "401": (401, "invalid key", {}, Fault("authentication", "disabled", True, 502)),
    "403": (403, "not for you", {}, Fault("authentication", "active", True, 502)),
    "404": (404, "no such model", {}, Fault("not_found", "active", True, 404)),
    "413": (413, "too large", {}, Fault("too_large", "active", True, 413)),
    "429 seconds": (429, "slow down", {"Retry-After": "0"}, LIMIT),
    "429 date": (429, "slow down", {"Retry-After": formatdate(time.time() - 5, usegmt=True)}, LIMIT),
    "429 absurd": (429, "slow down", {"Retry-After": "99999999999"}, LIMIT._replace(again=False)),
    "429 nonsense": (429, "slow down", {"Retry-After": "soon"}, LIMIT),
    "500": (500, "oh", {}, SERVER),
    "503": (503, "away", {}, Fault("overloaded", "cooldown", True, 503, again=True)),
    "529": (529, "overloaded", {}, Fault("overloaded", "cooldown", True, 503, again=True)),
    "302": (302, "elsewhere", {"Location": "http://127.0.0.1:9/"}, SERVER),
}
"""Answers with an error status: status, message, headers and what follows."""

BROKEN: Final[dict[str, Fault]] = {
    "read timeout": Fault("timeout", "cooldown", True, 504, again=True),
    "reset": Fault("connection", "cooldown", True, 502, again=True),
    "cut": Fault("truncated", "cooldown", True, 502, again=True),
    "malformed": Fault("malformed", "cooldown", True, 502, again=True),
    "not http": Fault("malformed", "cooldown", True, 502, again=True),
    "truncation": Fault("malformed", "cooldown", True, 502, again=True),
    "error event": Fault("overloaded", "cooldown", True, 503, again=True),
}
"""Answers that break: what follows."""


def failing(kind: str, fault: str) -> Answering:
    """A provider that does nothing but this, before any content."""

    async def fail(hit: Hit, send: Sender) -> None:
        if fault in STATUSES:
            status, message, headers, _ = STATUSES[fault]
            await send.whole(error(kind, message, "x"), status, **{k.replace("-", "_"): v for k, v in headers.items()})
        else:
            await _break(kind, fault, hit, send)

    return fail


async def _break(kind: str, fault: str, hit: Hit, send: Sender) -> None:
    stream = bool(hit.json.get("stream"))
    first = json.dumps(events(kind)[0][0]).encode()
    if fault == "read timeout":
        if stream:
            await send.stream()
        await hit.gone.wait()
    elif fault == "reset":
        send.reset()
    elif fault == "not http":
        await send.raw(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
        send.cut()
    elif stream:
        await send.stream()
        if fault == "malformed":
            await send.event(b'{"id": nonsense')
            await hit.gone.wait()
        elif fault == "error event":
            await send.event(error(kind, "Overloaded", "overloaded_error"))
            await hit.gone.wait()
        else:
            await send.chunk(b"data: " + first + b"\n\n")
            await (send.end() if fault == "truncation" else _cut(send))
    elif fault == "cut":
        await send.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{")
        send.cut()
    elif fault == "error event":
        await send.whole(error(kind, "Overloaded", "overloaded_error"), 529)
    else:
        whole = json.dumps(answer(kind)).encode()
        await send.whole(whole[: len(whole) // 2] if fault == "truncation" else b"<html>Bad gateway</html>")


def _words(data: Any) -> list[str]:
    """The content that an event brings."""
    if not isinstance(data, dict):
        return []
    found = [choice["delta"].get("content") for choice in data.get("choices", ())]
    return [*found, data.get("delta", {}).get("text")]


async def _cut(send: Sender) -> None:
    send.cut()


LATE: Final[dict[str, tuple[str, State]]] = {
    "cut": ("truncated", "cooldown"),
    "reset": ("truncated", "cooldown"),
    "truncation": ("truncated", "cooldown"),
    "malformed": ("malformed", "cooldown"),
    "error event": ("overloaded", "cooldown"),
    "silence": ("timeout", "cooldown"),
}
"""Faults of a stream after content has come: the class, and what one failure makes of the provider."""


def breaking(kind: str, fault: str) -> Answering:
    """A provider whose stream breaks after two words."""

    async def broken(hit: Hit, send: Sender) -> None:
        await send.stream()
        last = next(number for number, (data, _) in enumerate(events(kind)) if WORDS[1] in _words(data))
        for data, name in events(kind)[: last + 1]:
            await send.event(data, name)
        if fault == "cut":
            send.cut()
        elif fault == "reset":
            await asyncio.sleep(0.05)  # a reset overtakes what is still on its way
            send.reset()
        elif fault == "truncation":
            await send.end()
        else:
            if fault == "malformed":
                await send.event(b"{")
            elif fault == "error event":
                await send.event(error(kind, "Overloaded", "overloaded_error"))
            await hit.gone.wait()

    return broken


def slow(kind: str) -> Answering:
    """A provider that takes its time, but not too much of it."""

    async def late(hit: Hit, send: Sender) -> None:
        if not hit.json.get("stream"):
            await asyncio.sleep(0.15)
            await answering(kind)(hit, send)
            return
        await send.stream()
        for data, name in events(kind):
            await asyncio.sleep(0.02)
            await send.event(data, name)
        await send.end()

    return late


@contextmanager
def unaccepting() -> Iterator[str]:
    """An address whose connections are never taken: its line of waiting ones is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting: list[socket.socket] = []
        try:
            for _ in range(3):
                one = socket.socket()
                one.setblocking(False)
                one.connect_ex(listener.getsockname())
                waiting.append(one)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for one in waiting:
                one.close()
