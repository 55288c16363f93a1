"""The seam at which acts become known: what routes declare, and who did it, from where, with what outcome.

opt={**scope("keys:write"), **audited("api_key.revoke", "key:{key_id}")}

An act is told of with its outcome before the caller has the answer. A 403 of a route that declares nothing is told of
as well. What is refused or fails is told of in part where it comes in floods.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from types import EllipsisType
from typing import Any, Final, NamedTuple

import anyio
import msgspec
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from runtime.errors import Fault
from runtime.http.access import Caller, address_of, caller_of
from runtime.http.headers import method_of
from runtime.telemetry.audit import Act, Outcome, Recorder, concerned
from runtime.telemetry.context import request_id

MINUTE: Final = 60.0
REFUSALS: Final = 60
"""Acts of one caller that were refused or failed and are told of in a minute, on one instance; all strangers count as
one. The next one after that says how many were left out."""
LARGEST: Final = 1_000_000
"""Bytes of a body or an answer that are looked at for what an act was about."""
LAST_WORD: Final = 2.0
"""Seconds for which a request that is broken off still tells of its act."""

_STRANGER: Final = "address:"
_PLACE: Final = re.compile(r"\{([a-z_.]+)\}")
_DENIED: Final = frozenset({401, 403, 429})


class Declared(NamedTuple):
    """What a route declares of its act; see `audited`."""

    action: str
    target: str | None
    details: tuple[str, ...]


def audited(action: str, target: str | None = None, *details: str) -> dict[str, Any]:
    """What a route declares whose calls are told of as acts.

    Args:
        action: the kind of thing and the verb: `api_key.revoke`.
        target: what it is done to; names in braces are those of path parameters, of fields of the answer or the body,
            or of `caller` (`caller.account`, `caller.session`). What `concern` says goes before it.
        details: fields of the body or the answer that are kept. Name none that may hold a secret, a person's name or
            free text.

    Example:
        >>> audited("queue.pause", "queue:{queue}")["audit"].action
        'queue.pause'
    """
    return {"audit": Declared(action, target, details)}


class Flood:
    """Lets through what comes in measure, and counts the rest."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}
        self._began = 0.0

    def admits(self, caller: str) -> int | None:
        """Whether one more of a caller's is told of: how many were left out before it, or None where it is not."""
        now = time.monotonic()
        if now - self._began >= MINUTE:
            self._began = now
            self._seen = {name: (0, left) for name, (_, left) in self._seen.items() if left}
        name = "strangers" if caller.startswith(_STRANGER) else caller
        told, left = self._seen.get(name, (0, 0))
        if told >= REFUSALS:
            self._seen[name] = (told, left + 1)
            return None
        self._seen[name] = (told + 1, 0)
        return left


class Audit:
    """Tells of the acts of an application.

    Args:
        recorder: whoever writes them down.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._flood = Flood()

    def act(self, scope: Scope, declared: Declared, status: int, known: Mapping[str, Any]) -> Act | None:
        """The act of a request; None where it is one too many that was refused.

        Args:
            known: where names are looked up: `path`, `answer`, `body`, and the `target` that a service has named.
        """
        caller = caller_of(scope)
        outcome: Outcome = "done" if 0 < status < 400 else "denied" if status in _DENIED else "failed"
        details = _details(declared, caller, known)
        if outcome != "done":
            left = self._flood.admits(caller.id)
            if left is None:
                return None
            details |= {"status": status} if status else {"broken_off": True}
            details |= {"left_out": left} if left else {}
        target = known.get("target") or _filled(declared.target, caller, known)
        actor = caller.id
        if actor.startswith(_STRANGER) and outcome == "done" and (target or "").startswith("user:"):
            actor = target or actor  # a stranger who has shown to be that user
        return Act(declared.action, actor, target, outcome, address_of(scope), request_id.get(), details)

    def forbidden(self, scope: Scope) -> None:
        """Tells of a 403; those of routes that declare an act are told of as such."""
        handler: Any = scope.get("route_handler")
        if handler is None or handler.opt.get("audit") is not None:
            return
        declared = Declared("request.deny", f"{method_of(scope)} {scope['path_template']}", ())
        if (act := self.act(scope, declared, 403, {})) is not None:
            self.recorder.note(act)


class Audited:
    """Tells of the calls of one route, where it declares that.

    Args:
        audit: of the application.
    """

    def __init__(self, app: ASGIApp, audit: Audit) -> None:
        self._app = app
        self._audit = audit
        self._declared: Declared | EllipsisType | None = ...

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if self._declared is Ellipsis:  # an instance belongs to one route
            self._declared = scope["route_handler"].opt.get("audit")
        if self._declared is None:
            return self._app(scope, receive, send)
        return self._told(self._declared, scope, receive, send)

    async def _told(self, declared: Declared, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray()

        async def copied() -> Any:
            message: Any = await receive()
            if len(body) <= LARGEST:
                body.extend(message.get("body", b""))
            return message

        with concerned() as about:

            async def tell(status: int, answer: bytes) -> None:
                known = {**about, "path": scope["path_params"], "answer": _object(answer), "body": _object(body)}
                if (act := self._audit.act(scope, declared, status, known)) is not None:
                    await self._audit.recorder.record(act)

            held = _Answer(send, tell)
            try:
                await self._app(scope, copied, held.send)
            except BaseException as error:
                if not held.told:
                    with anyio.CancelScope(shield=True), anyio.move_on_after(LAST_WORD):
                        await tell(_status_of(error), b"")
                raise


class _Answer:
    """An answer on its way out, whose end waits until its act is told of. A replayed one is no act."""

    def __init__(self, send: Send, tell: Callable[[int, bytes], Awaitable[None]]) -> None:
        self.told = False
        self._send = send
        self._tell = tell
        self._start: Any = None
        self._status = 0
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start, self._status = message, message["status"]
            self.told = any(name == b"idempotency-replayed" for name, _ in message["headers"])
            return
        if message["type"] == "http.response.body":
            if len(self._body) <= LARGEST:
                self._body.extend(message.get("body", b""))
            if not message.get("more_body", False) and not self.told:
                self.told = True
                await self._tell(self._status, bytes(self._body))
        start, self._start = self._start, None
        if start is not None:
            await self._send(start)
        await self._send(message)


def _status_of(error: BaseException) -> int:
    """The status of an answer that is made of an error; 0 where there is none."""
    if isinstance(error, Fault):
        return error.status
    return 500 if isinstance(error, Exception) else 0


def _object(raw: bytes | bytearray) -> dict[str, Any]:
    """A JSON object; empty where it is none."""
    try:
        found = msgspec.json.decode(raw) if raw else None
    except (msgspec.DecodeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _details(declared: Declared, caller: Caller, known: Mapping[str, Any]) -> dict[str, Any]:
    kept = {"session": caller.session, "account": caller.owner}
    for name in declared.details:
        kept[name] = next(
            (known[place][name] for place in ("path", "body", "answer") if name in known.get(place, {})), None
        )
    return {name: value for name, value in kept.items() if value is not None}


def _filled(target: str | None, caller: Caller, known: Mapping[str, Any]) -> str | None:
    """A target with its names filled in; None where one is unknown."""
    if target is None:
        return None
    found = {name: _looked_up(name, caller, known) for name in _PLACE.findall(target)}
    if None in found.values():
        return None
    return _PLACE.sub(lambda match: str(found[match[1]]), target)


def _looked_up(name: str, caller: Caller, known: Mapping[str, Any]) -> Any:
    head, _, rest = name.partition(".")
    if head == "caller":
        return getattr(caller, rest)
    for place in ("path", "answer", "body"):
        value = known.get(place, {}).get(head)
        if rest:
            value = value.get(rest) if isinstance(value, dict) else None
        if value is not None:
            return value
    return None
