"""Accounts: made, verified, changed and removed."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from runtime.errors import Conflict, Forbidden, Invalid, NotFound, Pointer, TooMany
from runtime.services.auth.api_keys import SCOPE
from runtime.services.auth.attempts import Counted
from runtime.services.auth.mails import mail, new_code, typed
from runtime.services.auth.ports import User
from runtime.services.auth.store import codes, keys, revocations, users
from runtime.services.names import time_ordered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.http.access import Caller
    from runtime.services.auth.attempts import Attempts
    from runtime.services.auth.passwords import Passwords
    from runtime.services.auth.sessions import SessionStore
    from runtime.services.auth.spec import AuthSpec
    from runtime.services.auth.verified import Verified
    from runtime.services.outbox.ports import Transaction, Transactions
    from runtime.storage.database import Database

logger = logging.getLogger("runtime.auth")

CODES_OF_AN_EMAIL: Final = 5
CODES_OF_AN_ADDRESS: Final = 20
TRIES_OF_AN_ADDRESS: Final = 30
SPAN: Final = 900.0
MOST_EMAILS: Final = 10
_EMAIL: Final = re.compile(r"[^@\s<>(),;:\\\"\x00-\x1f]{1,64}@[^@\s<>(),;:\\\"\x00-\x1f]{1,250}")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}")


def normal_email(email: str, pointer: str = "/email") -> str:
    """An address as accounts are known by it.

    Raises:
        Invalid: it is none.

    Example:
        >>> normal_email(" Ada@Example.com")
        'ada@example.com'
    """
    found = email.strip().lower()
    if not _EMAIL.fullmatch(found):
        raise Invalid("this is no e-mail address", errors=[Pointer(pointer, "such as ada@example.com")])
    return found


class AccountStore:
    """Implements the port `Accounts`.

    Args:
        spec: the `auth` section.
        name: of the environment, for mails.
        queue: the queue of mails; None where the spec has none that delivers.
    """

    def __init__(
        self,
        spec: AuthSpec,
        database: Database,
        transactions: Transactions,
        *,
        name: str,
        queue: str | None,
        sessions: SessionStore,
        passwords: Passwords,
        attempts: Attempts,
        verified: Verified,
    ) -> None:
        self.signup = spec.signup
        self._spec = spec
        self._database = database
        self._transactions = transactions
        self._name = name
        self._queue = queue
        self._sessions = sessions
        self._passwords = passwords
        self._attempts = attempts
        self._verified = verified

    # Signing up

    async def sign_up(self, address: str, email: str, password: str) -> None:
        if self.signup == "closed":
            raise Forbidden("sign-up is closed", remedy="Ask an operator for an account.")
        self._require_mail()
        email = normal_email(email)
        await self._passwords.require_good(password, email)
        await self._limit(address, email)
        hashed = await self._passwords.hashed(password)  # for a known address, too: it takes as long
        async with self._transactions.transaction() as tx:
            found = await users.by_email(tx.connection, email)
            known = found is not None and found[1] is not None
            welcome = not known and (self.signup == "open" or found is not None)
            code = await self._code(tx, "signup", email, None, data=hashed if welcome else None)
            if known or welcome:
                await self._mail(tx, "signup" if welcome else "known", email, code)

    async def verify(self, address: str, email: str, code: str) -> None:
        email = normal_email(email)
        await self._limit_tries(address)
        async with self._transactions.transaction() as tx:
            done = await self._verify_sign_up(tx, email, typed(code)) or await self._verify_email(
                tx, email, typed(code)
            )
        if not done:
            raise _wrong_code()

    async def _verify_sign_up(self, tx: Transaction, email: str, code: str) -> bool:
        row = await codes.take(tx.connection, "signup", email, code, self._spec.codes.attempts)
        if row is None or row.data is None:
            return False
        now = datetime.now(UTC)
        found = await users.by_email(tx.connection, email)
        if found is None:
            await users.add(tx.connection, _new(email, now, ()), row.data)
        elif found[1] is None:
            await users.change(tx.connection, found[0].id, password=row.data, verified_at=now)
        return True

    async def _verify_email(self, tx: Transaction, email: str, code: str) -> bool:
        row = await codes.take(tx.connection, "email", email, code, self._spec.codes.attempts)
        if row is None:
            return False
        await users.verify_email(tx.connection, row.user, email)
        return True

    # Passwords

    async def ask_reset(self, address: str, email: str) -> None:
        self._require_mail()
        email = normal_email(email)
        await self._limit(address, email)
        async with self._transactions.transaction() as tx:
            found = await users.by_email(tx.connection, email)
            code = await self._code(tx, "reset", email, found[0].id if found else None)
            if found is not None:
                await self._mail(tx, "reset", email, code)

    async def reset(self, address: str, email: str, code: str, password: str) -> None:
        email = normal_email(email)
        await self._passwords.require_good(password, email)
        await self._limit_tries(address)
        hashed = await self._passwords.hashed(password)
        async with self._transactions.transaction() as tx:
            row = await codes.take(tx.connection, "reset", email, typed(code), self._spec.codes.attempts)
            user = row.user if row is not None else None
            if user is not None:
                await users.change(tx.connection, user, password=hashed, verified_at=datetime.now(UTC))
                await self._mail(tx, "changed", email)
        if user is None:
            raise _wrong_code()
        await self._sessions.revoke_others(user, None, "password")

    async def change_password(self, caller: Caller, address: str, present: str, password: str) -> None:
        id_ = _id(caller)
        async with self._database.reading() as connection:
            found = await users.find(connection, id_)
        if found is None:
            raise NotFound("there is no such account")
        user, kept = found
        await self._passwords.require_good(password, user.email)
        lockout = self._spec.passwords.lockout
        mine = f"password:{id_}:{caller.session or address}"
        await self._wait(Counted(mine, lockout.attempts, lockout.window))
        if not await self._passwords.fits(kept, present):
            raise Invalid("the present password is wrong", errors=[Pointer("/present", "another")])
        await self._attempts.clear(mine)
        hashed = await self._passwords.hashed(password)
        async with self._transactions.transaction() as tx:
            await users.change(tx.connection, id_, password=hashed)
            if self._queue is not None:
                await self._mail(tx, "changed", user.email)
        await self._sessions.revoke_others(id_, caller.session, "password")

    # Profiles

    async def user(self, id_: str) -> User:
        async with self._database.reading() as connection:
            found = await users.find(connection, id_)
        if found is None:
            raise NotFound("there is no such account")
        return found[0]

    async def further_emails(self, id_: str) -> Mapping[str, datetime | None]:
        async with self._database.reading() as connection:
            return await users.further(connection, id_)

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
        _require_places(time_zone, languages)
        user = await self.user(id_)
        wanted = {normal_email(email, f"/emails/{place}") for place, email in enumerate(emails)} - {user.email}
        if len(wanted) > MOST_EMAILS:
            raise Invalid(f"at most {MOST_EMAILS} addresses", errors=[Pointer("/emails", "too many")])
        new = wanted - set(await self.further_emails(id_))
        if new:
            self._require_mail()
        for email in sorted(new):
            await self._limit(address, email)
        async with self._transactions.transaction() as tx:
            values = {"name": name, "time_zone": time_zone, "languages": " ".join(languages)}
            await users.change(tx.connection, id_, **values)
            for email in set(await users.further(tx.connection, id_)) - wanted:
                await users.remove_email(tx.connection, id_, email)
            for email in sorted(new):
                await users.add_email(tx.connection, id_, email)
                await self._mail(tx, "email", email, await self._code(tx, "email", email, id_))
        return await self.user(id_)

    # By hand

    async def users(self, *, before: str | None, most: int) -> list[User]:
        async with self._database.reading() as connection:
            return await users.page(connection, before, most)

    async def add(self, email: str, password: str | None, *, verified: bool, scopes: Sequence[str]) -> User:
        email = normal_email(email)
        for place, scope in enumerate(scopes):
            if not SCOPE.fullmatch(scope):
                raise Invalid("a scope is such as jobs:write", errors=[Pointer(f"/scopes/{place}", "no scope")])
        if password is not None:
            await self._passwords.require_good(password, email)
        hashed = await self._passwords.hashed(password) if password is not None else None
        now = datetime.now(UTC)
        made = _new(email, now if verified else None, tuple(sorted(set(scopes))), has_password=hashed is not None)
        async with self._transactions.transaction() as tx:
            added = await users.add(tx.connection, made, hashed)
        if not added:
            raise Conflict("this address has an account")
        return made

    async def remove(self, id_: str) -> None:
        await self.user(id_)
        await self._sessions.revoke_others(id_, None, "operator")
        async with self._transactions.transaction() as tx:
            owned = await keys.of_owner(tx.connection, f"user:{id_}")
            for key in owned:
                await keys.revoke(tx.connection, key)
            await users.remove(tx.connection, id_)
            subjects = [f"user:{id_}", *[f"key:{key}" for key in owned]]
            await revocations.write(tx.connection, subjects)
        self._verified.revoke(subjects)

    # Codes and mails

    async def _code(
        self, tx: Transaction, purpose: str, email: str, user: str | None, *, data: str | None = None
    ) -> str:
        code = new_code()
        life = self._spec.codes.ttl
        await codes.put(tx.connection, purpose, email, code, life=life, user=user, data=data)
        return code

    async def _mail(self, tx: Transaction, kind: str, to: str, code: str = "") -> None:
        payload: dict[str, Any] = mail(kind, to, name=self._name, code=code, life=self._spec.codes.ttl)
        await tx.enqueue(self._require_mail(), payload)

    def _require_mail(self) -> str:
        if self._queue is None:
            raise Conflict(
                "codes cannot be sent: the spec has no channel for e-mail",
                remedy="Declare notifications.channels.email; an operator can make accounts with POST /v1/users.",
            )
        return self._queue

    async def _limit(self, address: str, email: str) -> None:
        await self._wait(
            Counted(f"codes:{email}:{address}", CODES_OF_AN_EMAIL, SPAN),
            Counted(f"codes:{address}", CODES_OF_AN_ADDRESS, SPAN),
        )

    async def _limit_tries(self, address: str) -> None:
        await self._wait(Counted(f"tries:{address}", TRIES_OF_AN_ADDRESS, SPAN))

    async def _wait(self, *counted: Counted) -> None:
        wait = await self._attempts.begin(*counted)
        if wait > 0:
            raise TooMany("too many attempts from here", retry_after=wait)


def _new(email: str, verified: datetime | None, scopes: tuple[str, ...], *, has_password: bool = True) -> User:
    return User(time_ordered(), email, verified, scopes, None, None, (), datetime.now(UTC), has_password)


def _id(caller: Caller) -> str:
    kind, _, id_ = caller.account.partition(":")
    if kind != "user":
        raise Forbidden("this is for accounts", remedy="Sign in.")
    return id_


def _wrong_code() -> Invalid:
    return Invalid(
        "the code is wrong, or its time is over",
        errors=[Pointer("/code", "not the one that was sent last")],
        remedy="Ask for another one.",
    )


def _require_places(time_zone: str | None, languages: Sequence[str]) -> None:
    if time_zone is not None:
        try:
            ZoneInfo(time_zone)
        except (ValueError, OSError, KeyError) as error:
            raise Invalid("no such time zone", errors=[Pointer("/time_zone", "such as Europe/Zurich")]) from error
    for place, language in enumerate(languages):
        if not _LANGUAGE.fullmatch(language):
            raise Invalid("no such language", errors=[Pointer(f"/languages/{place}", "such as en or de-CH")])
