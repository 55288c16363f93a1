"""Signing up, and passwords: whatever is asked for an address is answered alike, with or without an account."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runtime.errors import Forbidden, Invalid, NotFound, Pointer
from runtime.services.auth.attempts import Counted
from runtime.services.auth.codes import wrong_code
from runtime.services.auth.contacts import normal_email
from runtime.services.auth.evenly import evenly
from runtime.services.auth.sign_in import tries_from
from runtime.services.auth.store import users
from runtime.services.auth.users import new_user
from runtime.telemetry.audit import concern

if TYPE_CHECKING:
    from runtime.http.access import Caller
    from runtime.services.auth.attempts import Attempts
    from runtime.services.auth.codes import Codes
    from runtime.services.auth.endings import Endings
    from runtime.services.auth.passwords import Passwords
    from runtime.services.auth.ports import Admission
    from runtime.services.auth.spec import AuthSpec
    from runtime.services.outbox.ports import Transaction, Transactions
    from runtime.storage.database import Database


class AccountStore:
    """Implements the port `Accounts`.

    Args:
        spec: the `auth` section.
        database: for reads.
        transactions: for writes, and the mails that belong to them.
        endings: what ends the sessions of an account whose password changes.
    """

    def __init__(
        self,
        spec: AuthSpec,
        database: Database,
        transactions: Transactions,
        *,
        codes: Codes,
        passwords: Passwords,
        attempts: Attempts,
        endings: Endings,
    ) -> None:
        self.signup = spec.signup
        self._lockout = spec.passwords.lockout
        self._database = database
        self._transactions = transactions
        self._codes = codes
        self._passwords = passwords
        self._attempts = attempts
        self._endings = endings

    # Signing up

    @property
    def offered(self) -> Admission:
        return self.signup if self._codes.mailed else "closed"

    async def sign_up(self, address: str, email: str, password: str) -> None:
        if self.signup == "closed":
            raise Forbidden("sign-up is closed", remedy="Ask an operator for an account.")
        self._codes.require_mail()
        email = normal_email(email)
        await self._passwords.require_good(password, email)
        await self._codes.limit(address, email)
        hashed = await self._passwords.hashed(password)  # for a known address, too: it takes as long
        async with evenly(), self._transactions.transaction() as tx:
            found = await users.by_email(tx.connection, email)
            known = found is not None and found[1] is not None
            welcome = not known and (self.signup == "open" or found is not None)
            code = await self._codes.make(tx, "signup", email, None, data=hashed if welcome else None)
            if known or welcome:
                await self._codes.mail(tx, "signup" if welcome else "known", email, code)

    async def verify(self, address: str, email: str, code: str) -> None:
        email = normal_email(email)
        await self._codes.limit_tries(address, email)
        async with evenly(), self._transactions.transaction() as tx:
            done = await self._verify_sign_up(tx, email, code) or await self._verify_email(tx, email, code)
        if not done:
            raise wrong_code()

    async def _verify_sign_up(self, tx: Transaction, email: str, code: str) -> bool:
        row = await self._codes.take(tx, "signup", email, code)
        if row is None or row.data is None:
            return False
        now = datetime.now(UTC)
        found = await users.by_email(tx.connection, email)
        if found is None:
            made = new_user(email, now, ())
            await users.add(tx.connection, made, row.data)
            concern(f"user:{made.id}")
        elif found[1] is None:
            await users.change(tx.connection, found[0].id, password=row.data, verified_at=now)
            await self._codes.spend(tx, found[0].id)
            concern(f"user:{found[0].id}")
        return True

    async def _verify_email(self, tx: Transaction, email: str, code: str) -> bool:
        row = await self._codes.take(tx, "email", email, code)
        if row is None:
            return False
        await users.verify_email(tx.connection, row.user, email)
        concern(f"user:{row.user}")
        return True

    # Passwords

    async def ask_reset(self, address: str, email: str) -> None:
        self._codes.require_mail()
        email = normal_email(email)
        await self._codes.limit(address, email)
        async with evenly(), self._transactions.transaction() as tx:
            found = await users.by_email(tx.connection, email)
            code = await self._codes.make(tx, "reset", email, found[0].id if found else None)
            if found is not None:
                await self._codes.mail(tx, "reset", email, code)

    async def reset(self, address: str, email: str, code: str, password: str) -> None:
        email = normal_email(email)
        await self._passwords.require_good(password, email)
        await self._codes.limit_tries(address, email)
        hashed = await self._passwords.hashed(password)
        async with evenly(), self._transactions.transaction() as tx:
            row = await self._codes.take(tx, "reset", email, code) or await self._codes.take(tx, "invite", email, code)
            user = row.user if row is not None else None
            if user is not None:
                await users.change(tx.connection, user, password=hashed, verified_at=datetime.now(UTC))
                await self._codes.spend(tx, user)
                await self._codes.mail(tx, "changed", email)
        if user is None:
            raise wrong_code()
        await self._attempts.clear(tries_from(address, email))  # whoever forgot it has tried it before
        concern(f"user:{user}")
        await self._endings.revoke_others(user, None, "password")

    async def change_password(self, caller: Caller, address: str, present: str, password: str) -> None:
        id_ = _id(caller)
        async with self._database.reading() as connection:
            found = await users.find(connection, id_)
        if found is None:
            raise NotFound("there is no such account")
        user, kept = found
        await self._passwords.require_good(password, user.email)
        mine = f"password:{id_}:{caller.session or address}"
        await self._codes.wait(Counted(mine, self._lockout.attempts, self._lockout.window))
        if not await self._passwords.fits(kept, present):
            raise _wrong_present()
        await self._attempts.clear(mine)
        hashed = await self._passwords.hashed(password)
        async with self._transactions.transaction() as tx:
            if not await users.change_password(tx.connection, id_, kept, hashed):
                raise _wrong_present()  # it was changed while this one was compared
            await self._codes.spend(tx, id_)
            if self._codes.mailed:
                await self._codes.mail(tx, "changed", user.email)
        await self._endings.revoke_others(id_, caller.session, "password")


def _wrong_present() -> Invalid:
    return Invalid("the present password is wrong", errors=[Pointer("/present", "another")])


def _id(caller: Caller) -> str:
    kind, _, id_ = caller.account.partition(":")
    if kind != "user":
        raise Forbidden("this is for accounts", remedy="Sign in.")
    return id_
