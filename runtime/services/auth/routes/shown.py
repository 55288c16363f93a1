"""What the calls of accounts answer with."""

from datetime import datetime
from typing import TypeVar

import msgspec

from runtime.errors import NotFound, Unauthenticated
from runtime.http.access import Caller
from runtime.services.auth.ports import Device, Signed, User

T = TypeVar("T")


class AccountShown(msgspec.Struct):
    """An account of a session.

    Args:
        scopes: what it may do beyond what every account may, `runtime:admin`; a page knows by it what to offer.
    """

    id: str
    email: str
    name: str | None
    scopes: list[str]

    @classmethod
    def of(cls, user: User) -> "AccountShown":
        return cls(user.id, user.email, user.name, list(user.scopes))


class SessionShown(msgspec.Struct):
    """A session, for a page or a program.

    Args:
        access_token: of the current account, for programs; a browser has it in a cookie.
        expires_in: seconds for which it is good.
        csrf: what a page sends in `X-CSRF-Token` along with each change.
        accounts: all that are signed in.
    """

    id: str
    current: AccountShown
    accounts: list[AccountShown]
    access_token: str
    expires_in: int
    csrf: str

    @classmethod
    def of(cls, signed: Signed) -> "SessionShown":
        accounts = [AccountShown.of(user) for user in signed.users]
        current = AccountShown.of(signed.current)
        return cls(signed.session, current, accounts, signed.access, int(signed.life), signed.csrf)


class DeviceShown(msgspec.Struct):
    """A session that the account is signed in to.

    Args:
        here: whether it is the one that asks.
    """

    id: str
    here: bool
    agent: str
    first_address: str
    last_address: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, device: Device, here: str | None) -> "DeviceShown":
        return cls(
            device.session,
            device.session == here,
            device.agent,
            device.first_address,
            device.last_address,
            device.created_at,
            device.used_at,
            device.expires_at,
        )


class UserShown(msgspec.Struct):
    """An account."""

    id: str
    email: str
    verified: bool
    has_password: bool
    scopes: list[str]
    name: str | None
    created_at: datetime

    @classmethod
    def of(cls, user: User) -> "UserShown":
        return cls(
            user.id,
            user.email,
            user.verified_at is not None,
            user.has_password,
            list(user.scopes),
            user.name,
            user.created_at,
        )


def declared(part: T | None) -> T:
    """A part of the service, where the spec has it."""
    if part is None:
        raise NotFound("the spec declares no accounts", remedy="Add `auth: {}` to it.")
    return part


def user_of(caller: Caller) -> str:
    """The id of the account that a caller acts for."""
    kind, _, id_ = caller.account.partition(":")
    if kind != "user":
        raise NotFound("this key belongs to no account", remedy="Sign in.")
    return id_


def session_of(caller: Caller) -> str:
    """The session that a caller came by."""
    if caller.session is None:
        raise Unauthenticated("this needs a session", remedy="Sign in.")
    return caller.session
