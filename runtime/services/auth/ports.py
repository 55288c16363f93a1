"""What other services, the HTTP part and the routes may use of accounts and keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
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
    ) -> tuple[ApiKey, str]:
        """Makes a key.

        Args:
            caller: who makes it; it can give no scope that it has not.
            owner: another than the caller's own account, for `runtime:admin`.

        Returns:
            The key, and its whole text, which is kept nowhere.

        Raises:
            Forbidden: it would have more than the caller has.
            Invalid: a scope, the rate or the expiry is wrong.
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


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who has an account.

    Args:
        email: the address that they sign in with.
        verified_at: when it was proven to be theirs; None for one whom an operator made.
        scopes: what they may do beside looking after themselves.
        languages: the first one first, BCP 47.
        has_password: false for one who was invited and has not signed up.
    """

    id: str
    email: str
    verified_at: datetime | None
    scopes: tuple[str, ...]
    name: str | None
    time_zone: str | None
    languages: tuple[str, ...]
    created_at: datetime
    has_password: bool


@dataclass(frozen=True, slots=True)
class Visitor:
    """What a request says of the browser that sent it.

    Args:
        address: where it comes from.
        agent: its `User-Agent`.
        refresh: its refresh token.
        device: what it was given at an earlier sign-in.
    """

    address: str
    agent: str = ""
    refresh: str | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Signed:
    """A session after a sign-in, a switch or a refresh.

    Args:
        session: its id.
        access: an access token of the current account.
        life: seconds for which that is good.
        refresh: the refresh token; None where the browser's own stays.
        refresh_life: seconds until the session ends.
        csrf: what a page sends along with each change.
        current: the account that it acts for now.
        users: all its accounts.
        device: a token by which the device is known again; None where it is known.
    """

    session: str
    access: str
    life: float
    refresh: str | None
    refresh_life: float
    csrf: str
    current: User
    users: tuple[User, ...]
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """A session as the account sees it that is signed in to it."""

    session: str
    agent: str
    first_address: str
    last_address: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime


class Sessions(Protocol):
    """Sessions of browsers, for the routes."""

    async def sign_in(self, visitor: Visitor, session: str | None, email: str, password: str) -> Signed:
        """Signs an account in. The accounts of the session before go with it into a new one.

        Raises:
            Unauthenticated: the address or the password is wrong; which of them, nobody is told.
            TooMany: there were too many wrong ones.
            Conflict: the session holds as many accounts as it may.
        """
        ...

    async def refresh(self, visitor: Visitor) -> Signed:
        """New tokens for the refresh token.

        Raises:
            Unauthenticated: it is not good; where it was used before, its session ends.
        """
        ...

    async def switch(self, session: str, user: str) -> Signed:
        """Makes another account of the session the current one.

        Raises:
            NotFound: it is not in the session.
        """
        ...

    async def show(self, session: str) -> Signed:
        """The session as it stands, with a fresh access token."""
        ...

    async def sign_out(self, session: str, user: str | None) -> Signed | None:
        """Signs one account out, or all of them.

        Returns:
            The session with the accounts that are left; None where it has ended.
        """
        ...

    async def devices(self, user: str) -> list[Device]:
        """The sessions that an account is signed in to."""
        ...

    async def revoke(self, user: str, session: str) -> None:
        """Signs an account out of one session, everywhere within a second.

        Raises:
            NotFound: it is not signed in there.
        """
        ...

    async def revoke_others(self, user: str, keep: str | None, reason: str = "owner") -> int:
        """Signs an account out of all sessions but one; returns out of how many."""
        ...


class Accounts(Protocol):
    """Accounts, for the routes. What is asked for an address is answered alike, whether or not it has an account."""

    async def sign_up(self, address: str, email: str, password: str) -> None:
        """Sends a code, or word that there is an account.

        Raises:
            Forbidden: the spec's `signup` does not allow it.
            Invalid: the password is not good enough.
            TooMany: too many codes were asked for.
        """
        ...

    async def verify(self, address: str, email: str, code: str) -> None:
        """Takes a code that was sent to an address: makes the account, or notes the address as verified.

        Raises:
            Invalid: the code is wrong or over.
        """
        ...

    async def ask_reset(self, address: str, email: str) -> None:
        """Sends a code for a new password."""
        ...

    async def reset(self, address: str, email: str, code: str, password: str) -> None:
        """Sets a new password and ends all sessions of the account.

        Raises:
            Invalid: the code is wrong or over, or the password is not good enough.
        """
        ...

    async def change_password(self, caller: Caller, address: str, present: str, password: str) -> None:
        """Sets a new password and ends the account's other sessions.

        Raises:
            Invalid: the present one is wrong, or the new one is not good enough.
            TooMany: there were too many wrong ones.
        """
        ...

    async def user(self, id_: str) -> User:
        """One account.

        Raises:
            NotFound: there is none.
        """
        ...

    async def further_emails(self, id_: str) -> Mapping[str, datetime | None]:
        """Its further addresses, and when each was verified."""
        ...

    async def change_profile(
        self,
        id_: str,
        address: str,
        *,
        name: str | None,
        time_zone: str | None,
        languages: Sequence[str],
        emails: Sequence[str],
    ) -> User:
        """Changes what an account says of itself; new addresses get a code each.

        Raises:
            Invalid: no such time zone, language or address.
        """
        ...

    async def users(self, *, before: str | None, most: int) -> list[User]:
        """All accounts, the newest first."""
        ...

    async def add(self, email: str, password: str | None, *, verified: bool, scopes: Sequence[str]) -> User:
        """Makes an account by hand; without a password it is an invitation.

        Raises:
            Conflict: the address has one.
            Invalid: the address, a scope or the password is wrong.
        """
        ...

    async def remove(self, id_: str) -> None:
        """Removes an account with its sessions and keys.

        Raises:
            NotFound: there is none.
        """
        ...
