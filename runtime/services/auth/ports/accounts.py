"""Accounts: who has one, and what they say of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.http.access import Caller


Admission = Literal["open", "invite", "closed"]
"""Who may sign up: everybody, whoever was invited, nobody."""


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
class Profile:
    """What an account says of itself, as it shall be.

    Args:
        languages: the first one first, BCP 47.
        emails: further addresses, besides the one that it signs in with.
        phones: numbers in their international form.
    """

    name: str | None = None
    time_zone: str | None = None
    languages: Sequence[str] = ()
    emails: Sequence[str] = ()
    phones: Sequence[str] = ()


class Accounts(Protocol):
    """Signing up and passwords. An address is answered alike, whether or not it has an account."""

    @property
    def offered(self) -> Admission:
        """Who may sign up; nobody, where no code can be mailed."""
        ...

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
        """Sets a password with the code of a reset or an invitation, and ends all sessions of the account.

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


class Profiles(Protocol):
    """What accounts say of themselves."""

    async def user(self, id_: str) -> User:
        """One account.

        Raises:
            NotFound: there is none.
        """
        ...

    async def whole(self, id_: str) -> tuple[User, Mapping[str, datetime | None], Mapping[str, datetime | None]]:
        """One account with its further addresses and its phones.

        Raises:
            NotFound: there is none.
        """
        ...

    async def emails(self, id_: str) -> Mapping[str, datetime | None]:
        """Its further addresses, and when each was verified."""
        ...

    async def phones(self, id_: str) -> Mapping[str, datetime | None]:
        """Its phones, and when each was verified."""
        ...

    async def change(self, id_: str, address: str, wanted: Profile) -> User:
        """Changes what an account says of itself; each new address and phone gets a code.

        Raises:
            Invalid: no such time zone, language, address or number.
            Conflict: nothing here sends what the codes would have to go by.
        """
        ...

    async def verify_phone(self, id_: str, address: str, phone: str, code: str) -> None:
        """Takes a code that was sent to a phone of the account.

        Raises:
            Invalid: the code is wrong or over.
        """
        ...


class Users(Protocol):
    """Accounts by hand, for operators."""

    async def page(self, *, before: str | None, most: int) -> list[User]:
        """All accounts, the newest first."""
        ...

    async def add(self, email: str, password: str | None, *, verified: bool, scopes: Sequence[str]) -> User:
        """Makes an account; without a password it is an invitation, whose code is mailed where mails are sent.

        Raises:
            Conflict: the address has one.
            Invalid: the address, a scope or the password is wrong.
        """
        ...

    async def invite(self, id_: str) -> None:
        """Sends the code of an invitation again; the one before is not good any more.

        Raises:
            NotFound: there is no such account.
            Conflict: it has a password already, or no mails are sent.
        """
        ...

    async def remove(self, id_: str) -> None:
        """Removes an account with its sessions and keys.

        Raises:
            NotFound: there is none.
        """
        ...
