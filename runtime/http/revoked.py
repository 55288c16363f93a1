"""How long-lived answers learn that the key or the session that opened them has been revoked, or has run out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import anyio
from litestar.types import Scope

from runtime.http.access import Caller, caller_of

_KEY: Final = "runtime.watch"

Watch = Callable[[Caller], AbstractContextManager[anyio.Event]]
"""Gives, for as long as a block lasts, the event that is set when the caller's key or session is revoked, or its
key runs out."""


def put_watch(scope: Scope, watch: Watch) -> None:
    """Attaches it to a request; done once, by the guard."""
    state: dict[str, Any] = scope.setdefault("state", {})
    state[_KEY] = watch


def revocation_of(scope: Scope) -> AbstractContextManager[anyio.Event]:
    """The event that is set when this request's caller may not go on; where nobody tells, it is never set."""
    watch: Watch | None = scope.setdefault("state", {}).get(_KEY)
    return watch(caller_of(scope)) if watch is not None else nullcontext(anyio.Event())
