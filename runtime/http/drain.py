"""How long-lived answers learn that the server, or their application, is about to end."""

from typing import Any, Final

import anyio
from litestar.types import Scope

_KEY: Final = "runtime.drain"


def put_drain(scope: Any, drain: anyio.Event) -> None:
    """Attaches the event to a request; done once, by the server."""
    scope.setdefault("state", {})[_KEY] = drain


def drain_of(scope: Scope) -> anyio.Event:
    """The event that is set when this request should come to its end.

    Outside the server (an application called directly by a test) it is one that is never set.
    """
    state: dict[str, Any] = scope.setdefault("state", {})
    drain: anyio.Event = state.setdefault(_KEY, anyio.Event())
    return drain
