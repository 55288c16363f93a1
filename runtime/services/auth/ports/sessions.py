"""Sessions of browsers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from runtime.services.auth.ports.accounts import User


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

    async def revoke_others(self, user: str, keep: str | None) -> int:
        """Signs an account out of all sessions but one; returns out of how many."""
        ...
