"""What accounts say of themselves, and the further addresses and phones that they have proven."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from runtime.errors import Invalid, NotFound, Pointer
from runtime.services.auth.codes import wrong_code
from runtime.services.auth.contacts import normal_email, normal_phone
from runtime.services.auth.store import users

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from runtime.services.auth.codes import Codes
    from runtime.services.auth.ports import Profile, User
    from runtime.services.outbox.ports import Transaction, Transactions
    from runtime.storage.database import Database

MOST: Final = 10
"""Further addresses of an account, and phones."""
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}")


class ProfileStore:
    """Implements the port `Profiles`.

    Args:
        database: for reads.
        transactions: for writes, and the messages that belong to them.
    """

    def __init__(self, database: Database, transactions: Transactions, codes: Codes) -> None:
        self._database = database
        self._transactions = transactions
        self._codes = codes

    async def user(self, id_: str) -> User:
        async with self._database.reading() as connection:
            found = await users.find(connection, id_)
        if found is None:
            raise NotFound("there is no such account")
        return found[0]

    async def whole(self, id_: str) -> tuple[User, Mapping[str, datetime | None], Mapping[str, datetime | None]]:
        async with self._database.reading() as connection:
            found = await users.find(connection, id_)
            emails, phones = await users.further(connection, id_), await users.phones_of(connection, id_)
        if found is None:
            raise NotFound("there is no such account")
        return found[0], emails, phones

    async def emails(self, id_: str) -> Mapping[str, datetime | None]:
        async with self._database.reading() as connection:
            return await users.further(connection, id_)

    async def phones(self, id_: str) -> Mapping[str, datetime | None]:
        async with self._database.reading() as connection:
            return await users.phones_of(connection, id_)

    async def change(self, id_: str, address: str, wanted: Profile) -> User:
        _require_places(wanted.time_zone, wanted.languages)
        user = await self.user(id_)
        emails = _contacts("emails", wanted.emails, normal_email) - {user.email}
        phones = _contacts("phones", wanted.phones, normal_phone)
        new_emails, new_phones = emails - set(await self.emails(id_)), phones - set(await self.phones(id_))
        if new_emails:
            self._codes.require_mail()
        if new_phones:
            self._codes.require_texts()
        for contact in sorted(new_emails | new_phones):
            await self._codes.limit(address, contact)
        async with self._transactions.transaction() as tx:
            values = {"name": wanted.name, "time_zone": wanted.time_zone, "languages": " ".join(wanted.languages)}
            await users.change(tx.connection, id_, **values)
            await self._change_emails(tx, id_, emails, new_emails)
            await self._change_phones(tx, id_, phones, new_phones)
        return await self.user(id_)

    async def _change_emails(self, tx: Transaction, id_: str, wanted: set[str], new: set[str]) -> None:
        for email in set(await users.further(tx.connection, id_)) - wanted:
            await users.remove_email(tx.connection, id_, email)
        for email in sorted(new):
            await users.add_email(tx.connection, id_, email)
            await self._codes.mail(tx, "email", email, await self._codes.make(tx, "email", email, id_))

    async def _change_phones(self, tx: Transaction, id_: str, wanted: set[str], new: set[str]) -> None:
        for phone in set(await users.phones_of(tx.connection, id_)) - wanted:
            await users.remove_phone(tx.connection, id_, phone)
        for phone in sorted(new):
            await users.add_phone(tx.connection, id_, phone)
            await self._codes.text(tx, phone, await self._codes.make(tx, "phone", _subject(id_, phone), id_))

    async def verify_phone(self, id_: str, address: str, phone: str, code: str) -> None:
        phone = normal_phone(phone)
        await self._codes.limit_tries(address, phone)
        async with self._transactions.transaction() as tx:
            row = await self._codes.take(tx, "phone", _subject(id_, phone), code)
            if row is not None:
                await users.verify_phone(tx.connection, id_, phone)
        if row is None:
            raise wrong_code()


def _subject(id_: str, phone: str) -> str:
    """A code for a phone belongs to one account: another's does not take its place."""
    return f"{id_} {phone}"


def _contacts(name: str, given: Sequence[str], normal: Callable[[str, str], str]) -> set[str]:
    found = {normal(contact, f"/{name}/{place}") for place, contact in enumerate(given)}
    if len(found) > MOST:
        raise Invalid(f"at most {MOST} {name}", errors=[Pointer(f"/{name}", "too many")])
    return found


def _require_places(time_zone: str | None, languages: Sequence[str]) -> None:
    if time_zone is not None:
        try:
            ZoneInfo(time_zone)
        except (ValueError, OSError, KeyError) as error:
            raise Invalid("no such time zone", errors=[Pointer("/time_zone", "such as Europe/Zurich")]) from error
    for place, language in enumerate(languages):
        if not _LANGUAGE.fullmatch(language):
            raise Invalid("no such language", errors=[Pointer(f"/languages/{place}", "such as en or de-CH")])
