"""Callers that come by cookies: whose session it is, renewed within the request where its access token has run out."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from runtime.errors import Forbidden, Unauthenticated
from runtime.http.access import address_of
from runtime.http.browser import changes, cookie, cookies, require_own_page
from runtime.http.headers import add_to_answer, header, method_of
from runtime.services.auth.ports import Visitor
from runtime.services.auth.sessions import caller_of

if TYPE_CHECKING:
    from litestar.types import Scope

    from runtime.http.access import Caller
    from runtime.services.auth.ports import Signed
    from runtime.services.auth.sessions import SessionStore

ACCESS: Final = "__Host-access"
REFRESH: Final = "__Host-refresh"
DEVICE: Final = "__Host-device"
DEVICE_LIFE: Final = 2 * 365 * 86_400.0
_RENEWED: Final = "runtime.session"


class Browsers:
    """Knows callers by their cookies.

    Args:
        sessions: where they are signed in.
        origins: whose pages may send changes, beside those of this host.
    """

    def __init__(self, sessions: SessionStore, origins: frozenset[str]) -> None:
        self._sessions = sessions
        self._origins = origins

    async def caller(self, scope: Scope) -> Caller | None:
        """Whoever sent a request, by its cookies.

        Raises:
            Forbidden: it is a change, and no page of ours has sent it.
        """
        jar = cookies(scope)
        access, refresh = jar.get(ACCESS), jar.get(REFRESH)
        if not access and not refresh:
            return None
        change = changes(scope)
        if change or not method_of(scope):  # a WebSocket may be open to all pages, but with no cookies of ours
            require_own_page(scope, self._origins)
        entry = await self._sessions.entry(access) if access else None
        if entry is not None:
            caller, csrf = entry.caller, entry.csrf
        elif refresh and (renewed := await self._renew(scope)) is not None:
            caller, csrf = caller_of(renewed.current, renewed.session), renewed.csrf
        else:
            return None
        if change and not scope["route_handler"].opt.get("open"):
            shown = header(scope, b"x-csrf-token") or b""
            if not hmac.compare_digest(shown, csrf.encode()):
                raise Forbidden(
                    "X-CSRF-Token is missing or not this session's", remedy="Send the csrf of GET /v1/auth/session."
                )
        return caller

    def check(self, scope: Scope) -> None:
        """Refuses what another site's page has made a browser send.

        Raises:
            Forbidden: it did.
        """
        require_own_page(scope, self._origins)

    def visitor(self, scope: Scope) -> Visitor:
        """What a request says of its browser."""
        jar = cookies(scope)
        agent = (header(scope, b"user-agent") or b"").decode("latin-1")
        return Visitor(address_of(scope), agent, jar.get(REFRESH), jar.get(DEVICE))

    def renewed(self, scope: Scope) -> Signed | None:
        """The session, where this request has renewed it already."""
        found: Signed | None = scope.get("state", {}).get(_RENEWED)
        return found

    def give(self, scope: Scope, signed: Signed) -> None:
        """Lets the browser have what belongs to a session."""
        given = [cookie(ACCESS, signed.access, signed.life)]
        if signed.refresh is not None:
            given.append(cookie(REFRESH, signed.refresh, signed.refresh_life))
        if signed.device is not None:
            given.append(cookie(DEVICE, signed.device, DEVICE_LIFE))
        add_to_answer(scope, *given)

    def take(self, scope: Scope) -> None:
        """Takes the cookies of a session away."""
        add_to_answer(scope, cookie(ACCESS, "", 0), cookie(REFRESH, "", 0))

    async def _renew(self, scope: Scope) -> Signed | None:
        try:
            signed = await self._sessions.refresh(self.visitor(scope))
        except Unauthenticated:
            return (
                None  # and the cookies stay: another tab may have signed in meanwhile, and they would be the new ones
            )
        scope.setdefault("state", {})[_RENEWED] = signed
        self.give(scope, signed)
        return signed
