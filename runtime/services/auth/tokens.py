"""Access tokens: signed statements of who somebody is, good for minutes (RFC 7519, RFC 9068, RFC 8725).

A token is read strictly before its signature is looked at: nothing in it chooses the algorithm, the key or where a key
comes from, and nothing can be read in two ways.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import jwt

if TYPE_CHECKING:
    from runtime.services.auth.signing import KeyRing

TYPE: Final = "at+jwt"
ALGORITHM: Final = "RS256"
LARGEST: Final = 4096
"""Characters of the longest token that is read; ours have about 700."""
_PART: Final = re.compile(r"[A-Za-z0-9_-]+")
_HEADER: Final = frozenset({"alg", "kid", "typ"})
_TEXTS: Final = ("iss", "aud", "sub", "sid", "jti")
_TIMES: Final = ("iat", "exp")
_LARGEST_TIME: Final = 1 << 40


class BadToken(Exception):  # noqa: N818 - an outcome
    """A token is not good; the message says why, and is for logs."""


class Claims(NamedTuple):
    """What a good token says.

    Args:
        user: `sub`.
        session: `sid`.
        id: `jti`.
        expires: Unix time.
        kid: of the key that signed it.
    """

    user: str
    session: str
    id: str
    expires: float
    kid: str


class Tokens:
    """Signs and reads access tokens.

    Args:
        ring: the keys.
        issuer: `iss`.
        audience: `aud`.
        life: seconds for which a token is good.
        leeway: seconds by which clocks may differ.

    Example:
        >>> token = tokens.issue("user:1", "session")                                         # doctest: +SKIP
        >>> tokens.read(token).user                                                           # doctest: +SKIP
        'user:1'
    """

    def __init__(self, ring: KeyRing, *, issuer: str, audience: str, life: float, leeway: float) -> None:
        self._ring = ring
        self._issuer = issuer
        self._audience = audience
        self.life = life
        self._leeway = leeway

    def issue(self, user: str, session: str) -> str:
        """A new token."""
        now = int(time.time())
        key = self._ring.active
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": user,
            "sid": session,
            "iat": now,
            "exp": now + int(self.life),
            "jti": secrets.token_urlsafe(16),
        }
        return jwt.encode(claims, key.private, ALGORITHM, headers={"kid": key.kid, "typ": TYPE})

    def read(self, token: str) -> Claims:
        """What a token says.

        Raises:
            BadToken: it is not one of ours, or not good any more.
        """
        header, claims = _strict(token)
        key = self._ring.find(header["kid"])
        if key is None:
            raise BadToken("signed by no key of ours")
        try:
            jwt.decode(
                token,
                key.public,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway,
                options={"require": [*_TEXTS, *_TIMES], "strict_aud": True},
            )
        except jwt.PyJWTError as error:
            raise BadToken(type(error).__name__) from error
        return Claims(claims["sub"], claims["sid"], claims["jti"], claims["exp"] + self._leeway, key.kid)


def _strict(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the claims of a token of our form; its signature is not looked at."""
    if len(token) > LARGEST:
        raise BadToken("too long")
    parts = token.split(".")
    if len(parts) != 3:
        raise BadToken("not three parts")
    raw = [_decoded(part) for part in parts]
    header, claims = _object(raw[0]), _object(raw[1])
    if set(header) != _HEADER or header["alg"] != ALGORITHM or header["typ"] != TYPE:
        raise BadToken("another header than ours")
    if not all(isinstance(value, str) for value in header.values()):
        raise BadToken("another header than ours")
    for name in _TEXTS:
        if not isinstance(claims.get(name), str) or not claims[name]:
            raise BadToken(f"{name} is no text")
    for name in (*_TIMES, *(["nbf"] if "nbf" in claims else [])):
        if type(claims.get(name)) is not int or not 0 <= claims[name] < _LARGEST_TIME:
            raise BadToken(f"{name} is no time")
    return header, claims


def _decoded(part: str) -> bytes:
    """Base64url without padding, in its one canonical form (RFC 7515, appendix C; RFC 4648, section 3.5)."""
    if not _PART.fullmatch(part) or len(part) % 4 == 1:
        raise BadToken("not base64url")
    raw = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if urlsafe_b64encode(raw).rstrip(b"=").decode() != part:
        raise BadToken("not canonical base64url")
    return raw


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise BadToken("no JSON") from error
    if not isinstance(value, dict):
        raise BadToken("no JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadToken("a name stands twice")
    return found
