"""Lets a request through to its route, or refuses it.

A right credential always passes, however many wrong ones came from the same address: a neighbour's attack
must not lock the operator out. Wrong ones are limited by address far more tightly than requests are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import EllipsisType
from typing import Final

from litestar.types import ASGIApp, Receive, Scope, Send

from runtime.errors import Forbidden, RequestFault, TooMany, Unauthenticated
from runtime.http.access import Access, Caller, Visitors, address_of, declared
from runtime.http.headers import header
from runtime.http.limits import Limiter
from runtime.http.live import Live
from runtime.http.revoked import Watch, put_watch
from runtime.spec.units import Rate

ANY: Final = ""
WRONG: Final = Rate(30, 60.0)
"""How often an address may show a wrong credential."""

_REMEDY: Final = (
    "Sign in, or send the header Authorization: Bearer rt_…; the operator's key is in operator.key of the state folder."
)


Refused = Callable[[str, str], None]
"""Is told the address and the reason of each credential that was wrong, as far as they are not limited."""


class Guard:
    """Finds the caller of each request and holds it against what the route declares."""

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        limiter: Limiter,
        live: Live,
        refused: Refused | None = None,
        visitors: Visitors | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._app = app
        self._visitors = visitors
        self._watch = watch
        self._refused = refused
        self._access = access
        self._limiter = limiter
        self._live = live
        self._needed: str | EllipsisType | None = ...
        self._public = False

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if self._needed is Ellipsis:  # an instance belongs to one route
            handler = scope["route_handler"]
            if not declared(handler):
                raise Forbidden("nothing says who may call this route")
            self._needed = handler.opt.get("scope")
            self._public = bool(handler.opt.get("public"))
        if self._public:
            return self._app(scope, receive, send)
        credential, _ = _credential(scope)
        caller = self._access.known(credential) if credential else None
        if caller is None:
            return self._checked(scope, receive, send, self._needed)
        self._admit(scope, caller, self._needed)
        return self._app(scope, receive, send)

    async def _checked(self, scope: Scope, receive: Receive, send: Send, needed: str | None) -> None:
        await self.check(scope, needed)
        await self._app(scope, receive, send)

    async def check(self, scope: Scope, needed: str | None) -> None:
        """Finds the caller and puts it into the scope.

        Args:
            needed: the scope that the caller must hold; `ANY` for any right key; None lets everybody through.

        Raises:
            Unauthenticated, Forbidden, TooMany: the caller may not pass.
        """
        credential, wrong = _credential(scope)
        caller = None
        if credential:
            caller = self._access.known(credential) or await self._access.caller(credential, address_of(scope))
        elif not wrong and self._visitors is not None:
            caller = await self._visitors.caller(scope)
        if caller is not None:
            self._admit(scope, caller, needed)
            return
        who = f"address:{address_of(scope)}"
        scope["user"] = Caller(who)
        refusal: RequestFault | None = None
        if credential or wrong:
            why = wrong or "the key is not valid"
            refusal = await self._limited(f"{who}:wrong", WRONG, why)
            if self._refused is not None and isinstance(refusal, Unauthenticated):
                self._refused(address_of(scope), why)
        elif needed is not None:
            refusal = await self._limited(who, self._live.rate_limit, "this needs a key")
        if needed is not None and refusal is not None:
            raise refusal

    def _admit(self, scope: Scope, caller: Caller, needed: str | None) -> None:
        scope["user"] = caller
        if self._watch is not None:
            put_watch(scope, self._watch)
        if needed and not caller.may(needed):
            raise Forbidden(f"this needs the scope {needed}", remedy="Use a key that has it.")

    async def _limited(self, who: str, limit: Rate, why: str) -> RequestFault:
        verdict = await self._limiter.hit(who, limit)
        if verdict.allowed:
            return Unauthenticated(why, remedy=_REMEDY)
        return TooMany("too many refused requests from this address", retry_after=verdict.reset)


def _credential(scope: Scope) -> tuple[str, str]:
    """What the caller shows of itself, and what is wrong with the way it does."""
    authorization = header(scope, b"authorization")
    if authorization:
        scheme, _, token = authorization.decode("latin-1").strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return "", "the Authorization header is not `Bearer <key>`"
        return token, ""
    key = header(scope, b"x-api-key")
    return (key.decode("latin-1").strip(), "") if key is not None else ("", "")
