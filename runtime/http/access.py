"""Who may call what: scopes on routes, the caller of a request, and the refusal of routes that say nothing.

opt=scope("jobs:write")   the caller must hold that scope; `runtime:admin` holds all
opt=OPEN                  anyone may call
opt=PUBLIC                anyone may call, and nobody is looked at
"""

import ipaddress
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.base import BaseRouteHandler
from litestar.routes import HTTPRoute
from litestar.types import Scope

from runtime.errors import Fault
from runtime.spec.units import Rate

ADMIN: Final = "runtime:admin"

OPEN: Final[dict[str, Any]] = {"open": True}
"""What a route declares that anyone may call."""

PUBLIC: Final[dict[str, Any]] = {**OPEN, "public": True}
"""What a route declares that answers everybody alike: nobody is asked who it is, and no session is renewed, so that the
answer may be kept by caches that many share."""


def scope(name: str) -> dict[str, Any]:
    """What a route declares that only callers with a scope may call.

    Args:
        name: `jobs:write`, `events:read` and so on.

    Example:
        >>> scope("jobs:write")
        {'scope': 'jobs:write'}
    """
    return {"scope": name}


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request.

    Args:
        id: stable and safe to log: `key:operator`, `address:127.0.0.1`.
        scopes: what it may do.
        owner: whose credits and data it uses, where that is another than itself: the user of an API key.
        rate: its own limit; None where the environment's holds.
        session: the id of the session that it came by; None for a key.
        credits: the most that it may spend of its account's; None for all there are.
        expires: Unix time at which its key runs out; None for never.
    """

    id: str
    scopes: frozenset[str] = frozenset()
    owner: str | None = None
    rate: Rate | None = None
    session: str | None = None
    credits: Decimal | None = None
    expires: float | None = None

    @property
    def expired(self) -> bool:
        """Whether its key has run out."""
        return self.expires is not None and self.expires <= time.time()

    @property
    def account(self) -> str:
        """Whose credits and data it uses."""
        return self.owner or self.id

    def may(self, name: str) -> bool:
        """Whether it holds a scope, `runtime:admin` being all of them."""
        return name in self.scopes or ADMIN in self.scopes


class Access(Protocol):
    """Whoever knows the callers: the operator's key, accounts, API keys."""

    def known(self, credential: str) -> Caller | None:
        """The caller of a credential, as far as it is known without asking anybody; else None."""
        ...

    async def caller(self, credential: str, address: str) -> Caller | None:
        """The caller that a bearer token or an API key belongs to; None where it belongs to nobody.

        Args:
            address: where it comes from.

        Raises:
            TooMany: this address has shown too many wrong ones for one more to be worth a look.
        """
        ...


class Visitors(Protocol):
    """Whoever knows the callers that come by cookies."""

    async def caller(self, scope: Scope) -> Caller | None:
        """The caller that the cookies of a request belong to; None where they belong to nobody.

        Raises:
            Forbidden: the request is a change, and no page of ours has sent it.
        """
        ...


class FirstOf:
    """Access by the first that knows a credential.

    Args:
        known: asked in their order.
    """

    def __init__(self, *known: Access) -> None:
        self._known = known

    def known(self, credential: str) -> Caller | None:
        for access in self._known:
            if (caller := access.known(credential)) is not None:
                return caller
        return None

    async def caller(self, credential: str, address: str) -> Caller | None:
        for access in self._known:
            if (caller := await access.caller(credential, address)) is not None:
                return caller
        return None


def caller_of(connection: Scope) -> Caller:
    """Whoever sent the request, as the guard found; an unknown caller is known by its address."""
    caller = connection.get("user")
    return caller if isinstance(caller, Caller) else Caller(f"address:{address_of(connection)}")


def address_of(connection: Scope) -> str:
    """The caller's address; of IPv6 the network, since a single caller has a whole one of them."""
    client = connection.get("client")
    host = client[0] if client else "unknown"
    if ":" not in host:
        return host
    try:
        return str(ipaddress.IPv6Network((host.partition("%")[0], 64), strict=False).network_address) + "/64"
    except ValueError:
        return host


class Undeclared(Fault):
    """A route says neither `scope` nor `open`."""


def declared(handler: BaseRouteHandler) -> bool:
    """Whether a route says who may call it: a scope or openness, never both."""
    name, opened = handler.opt.get("scope"), handler.opt.get("open")
    if opened is None:
        return isinstance(name, str) and bool(name)
    return opened is True and name is None


def answers_options(handler: BaseRouteHandler) -> bool:
    """Whether it is Litestar's own answer to OPTIONS: the methods of the path, and nothing else."""
    return (
        isinstance(handler, HTTPRouteHandler)
        and handler.http_methods == {"OPTIONS"}
        and handler.fn.__module__ == HTTPRoute.__module__
    )


def shape(path: str) -> str:
    """A path whose parameters have no names: two routes of one shape are the same.

    Example:
        >>> shape("/v1/jobs/{job_id}/cancel/")
        '/v1/jobs/{}/cancel'
    """
    return re.sub(r"\{[^}]*\}", "{}", path).rstrip("/") or "/"


def require_declared(app: Litestar) -> None:
    """Refuses an application that has a route which is open by accident.

    Raises:
        Undeclared: names each such route.
    """
    wrong = sorted(_undeclared(app))
    if wrong:
        raise Undeclared(
            f"nothing says who may call {', '.join(wrong)}",
            remedy='Give the route opt=scope("…") or opt=OPEN.',
        )


def _undeclared(app: Litestar) -> Iterable[str]:
    for route in app.routes:
        handlers = route.route_handlers if isinstance(route, HTTPRoute) else [route.route_handler]
        for handler in handlers:
            if not (declared(handler) or answers_options(handler)):
                methods = "/".join(sorted(getattr(handler, "http_methods", ()))) or type(handler).__name__
                yield f"{methods} {route.path_format}"
