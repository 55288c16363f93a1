"""What a browser sends and is given: cookies, and where the page comes from that makes it send a request."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from litestar.types import Scope

from runtime.errors import Forbidden
from runtime.http.headers import header, method_of

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", ""})
"""Methods that change nothing; a WebSocket has none, and its origin is checked where it is opened."""
_OWN: Final = frozenset({"same-origin", "none"})
_LARGEST: Final = 8192


def cookies(scope: Scope) -> dict[str, str]:
    """The cookies of a request; of two with one name the first, which is the one with the longer path."""
    raw = header(scope, b"cookie")
    if raw is None or len(raw) > _LARGEST:
        return {}
    found: dict[str, str] = {}
    for part in raw.decode("latin-1").split(";"):
        name, separator, value = part.strip().partition("=")
        if separator:
            found.setdefault(name, value)
    return found


def cookie(name: str, value: str, life: float) -> tuple[bytes, bytes]:
    """A header that sets a cookie which no script and no other origin reads; a life of 0 removes it.

    Args:
        name: begins with `__Host-` (RFC 6265bis, section 4.1.3.2): no other host can have set it.
        life: seconds.
    """
    text = f"{name}={value}; Path=/; Max-Age={int(life)}; Secure; HttpOnly; SameSite=Lax"
    return b"set-cookie", text.encode("latin-1")


def changes(scope: Scope) -> bool:
    """Whether a request may change something."""
    return method_of(scope) not in SAFE


def require_own_page(scope: Scope, origins: frozenset[str]) -> None:
    """Refuses a change that another site's page has made a browser send.

    Args:
        origins: whose pages may, beside those of this host.

    Raises:
        Forbidden: it comes from elsewhere.
    """
    origin = header(scope, b"origin")
    named = origin.decode("latin-1") if origin is not None else None
    if named is not None and named in origins:
        return
    site = header(scope, b"sec-fetch-site")
    host = (header(scope, b"host") or b"").decode("latin-1")
    foreign_site = site is not None and site.decode("latin-1") not in _OWN
    if foreign_site or (named is not None and urlsplit(named).netloc != host):
        raise Forbidden("pages of another site may not do this", remedy="Add the origin to api.cors.origins.")
