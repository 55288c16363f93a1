"""API keys and signing keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.http.access import Caller


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key, without its secret.

    Args:
        id: the part of the key by which it is found; no secret.
        prefix: what it begins with; with the id, what a found key is recognised by.
        name: what its owner calls it.
        owner: whose credits and data it uses: `user:…`, `key:operator`.
        scopes: what it may do.
        rate: its own limit, `100/m`; None where the spec's holds.
        credits: the most that it may spend of its owner's; None for all there are.
        created_by: the caller who made it.
        used_at: when it was last used, to about half a minute.
    """

    id: str
    prefix: str
    name: str
    owner: str
    scopes: tuple[str, ...]
    rate: str | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    used_at: datetime | None = None
    revoked_at: datetime | None = None
    credits: Decimal | None = None


class ApiKeys(Protocol):
    """API keys, for the routes."""

    async def create(
        self,
        caller: Caller,
        name: str,
        scopes: Sequence[str],
        *,
        owner: str | None = None,
        expires_at: datetime | None = None,
        rate: str | None = None,
        credits: Decimal | None = None,  # noqa: A002 - the word of the API
    ) -> tuple[ApiKey, str]:
        """Makes a key.

        Args:
            caller: who makes it; it can give no scope that it has not.
            owner: another than the caller's own account, for `runtime:admin`.

        Returns:
            The key, and its whole text, which is kept nowhere.

        Raises:
            Forbidden: it would have more than the caller has.
            Invalid: a scope, the rate, the expiry or the credits are wrong.
        """
        ...

    async def page(
        self, *, owner: str | None, starts_with: str = "", before: str | None = None, most: int = 50
    ) -> list[ApiKey]:
        """Keys, the newest first; of one owner, or of everybody.

        Args:
            starts_with: the first characters of a key, as a scanner found it.
            before: the id of the last one of the page before.
        """
        ...

    async def revoke(self, caller: Caller, id_: str) -> None:
        """Ends a key, at every instance within a second.

        Raises:
            NotFound: the caller has no such key.
        """
        ...


@dataclass(frozen=True, slots=True)
class SigningKeyView:
    """A signing key as a caller sees it.

    Args:
        kid: its thumbprint (RFC 7638).
        state: `published` (it will sign), `active` (it signs), `retired` (its tokens are still good).
        since: Unix time from which it signs; zero or less for one from the spec.
    """

    kid: str
    state: str
    since: float


class Signing(Protocol):
    """The keys that access tokens are signed with, for the routes."""

    def jwks(self) -> Mapping[str, Any]:
        """The public halves of all keys (RFC 7517)."""
        ...

    def views(self) -> list[SigningKeyView]:
        """All keys, the newest first."""
        ...

    async def rotate(self, *, compromised: bool = False) -> SigningKeyView:
        """Makes the next key.

        Args:
            compromised: it signs at once, and all tokens of the others are refused from now on.

        Raises:
            Conflict: the keys come from the spec, or the next one is published already.
        """
        ...
