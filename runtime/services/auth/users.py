"""Accounts by hand: made, invited and removed by operators."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runtime.errors import Conflict, Invalid, NotFound, Pointer
from runtime.services.auth.api_keys import SCOPE
from runtime.services.auth.contacts import normal_email
from runtime.services.auth.ports import User
from runtime.services.auth.store import codes as stored_codes
from runtime.services.auth.store import keys, revocations, users
from runtime.services.names import time_ordered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.auth.codes import Codes
    from runtime.services.auth.endings import Endings
    from runtime.services.auth.passwords import Passwords
    from runtime.services.auth.ports import Belongings
    from runtime.services.auth.verified import Verified
    from runtime.services.outbox.ports import Transaction, Transactions
    from runtime.storage.database import Database


class UserStore:
    """Implements the port `Users`.

    Args:
        database: for reads.
        transactions: for writes, and the mails that belong to them.
        endings: what ends the sessions of an account that is removed.
        verified: what this instance knows of its keys and tokens.
        belongings: what other services keep of users.
    """

    def __init__(
        self,
        database: Database,
        transactions: Transactions,
        *,
        codes: Codes,
        passwords: Passwords,
        endings: Endings,
        verified: Verified,
        belongings: Sequence[Belongings] = (),
    ) -> None:
        self._database = database
        self._transactions = transactions
        self._codes = codes
        self._passwords = passwords
        self._endings = endings
        self._verified = verified
        self._belongings = belongings

    async def page(self, *, before: str | None, most: int) -> list[User]:
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
        made = new_user(email, now if verified else None, tuple(sorted(set(scopes))), has_password=hashed is not None)
        async with self._transactions.transaction() as tx:
            added = await users.add(tx.connection, made, hashed)
            if added and hashed is None and self._codes.mailed:
                await self._invite(tx, made)
        if not added:
            raise Conflict("this address has an account")
        return made

    async def invite(self, id_: str) -> None:
        self._codes.require_mail()
        async with self._transactions.transaction() as tx:
            found = await users.find(tx.connection, id_)
            if found is None:
                raise NotFound("there is no such account")
            if found[1] is not None:
                raise Conflict("this account has a password already", remedy="Its owner can ask for a new one.")
            await self._invite(tx, found[0])

    async def _invite(self, tx: Transaction, user: User) -> None:
        await self._codes.mail(tx, "invite", user.email, await self._codes.make(tx, "invite", user.email, user.id))

    async def remove(self, id_: str) -> None:
        async with self._database.reading() as connection:
            if await users.find(connection, id_) is None:
                raise NotFound("there is no such account")
        await self._endings.revoke_others(id_, None, "operator")
        async with self._transactions.transaction() as tx:
            await users.find(tx.connection, id_, lock=True)  # it makes no more keys from here on
            owned = await keys.of_owner(tx.connection, f"user:{id_}")
            for key in owned:
                await keys.revoke(tx.connection, key)
            await users.remove(tx.connection, id_)
            await stored_codes.remove_of(tx.connection, id_)
            for each in self._belongings:
                await each.remove(tx, id_)
            subjects = [f"user:{id_}", *[f"key:{key}" for key in owned]]
            await revocations.write(tx.connection, subjects)
        self._verified.revoke(subjects)


def new_user(email: str, verified: datetime | None, scopes: tuple[str, ...], *, has_password: bool = True) -> User:
    """An account that is to be made."""
    return User(time_ordered(), email, verified, scopes, None, None, (), datetime.now(UTC), has_password)
