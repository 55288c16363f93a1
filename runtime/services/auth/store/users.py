"""Users, their further e-mail addresses and phones, and the devices that they have signed in from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, DateTime, MetaData, String, Table, Text, delete, func, select, update

from runtime.services.auth.ports import User
from runtime.storage.rows import add as add_row
from runtime.storage.rows import utc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("email", String(320), nullable=False, unique=True),
    Column("verified_at", DateTime(timezone=True)),
    Column("password", String(300)),
    Column("scopes", Text, nullable=False),
    Column("name", String(200)),
    Column("time_zone", String(64)),
    Column("languages", String(400), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

emails = Table(
    "user_emails",
    metadata,
    Column("user", String(40), primary_key=True),
    Column("email", String(320), primary_key=True),
    Column("verified_at", DateTime(timezone=True)),
)

phones = Table(
    "user_phones",
    metadata,
    Column("user", String(40), primary_key=True),
    Column("phone", String(20), primary_key=True),
    Column("verified_at", DateTime(timezone=True)),
)

devices = Table(
    "user_devices",
    metadata,
    Column("user", String(40), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("used_at", DateTime(timezone=True), nullable=False),
)


async def add(connection: AsyncConnection, user: User, password: str | None) -> bool:
    """Adds a user; false where the address has one."""
    row = {
        "id": user.id,
        "email": user.email,
        "verified_at": user.verified_at,
        "password": password,
        "scopes": " ".join(user.scopes),
        "languages": "",
        "created_at": user.created_at,
    }
    return await add_row(connection, users, row)


async def by_email(connection: AsyncConnection, email: str) -> tuple[User, str | None] | None:
    """A user and the hash of the password."""
    return _found((await connection.execute(select(users).where(users.c.email == email))).one_or_none())


async def find(connection: AsyncConnection, id_: str, *, lock: bool = False) -> tuple[User, str | None] | None:
    """A user and the hash of the password; locked, nobody else changes it until the transaction ends."""
    query = select(users).where(users.c.id == id_)
    return _found((await connection.execute(query.with_for_update() if lock else query)).one_or_none())


async def page(connection: AsyncConnection, before: str | None, most: int) -> list[User]:
    """Users, the newest first: their ids are in the order of time."""
    query = select(users).order_by(users.c.id.desc()).limit(most)
    if before is not None:
        query = query.where(users.c.id < before)
    return [_user(row) for row in await connection.execute(query)]


async def several(connection: AsyncConnection, ids: Sequence[str]) -> list[User]:
    """Those of the users that there are."""
    return [_user(row) for row in await connection.execute(select(users).where(users.c.id.in_(ids)))]


async def further_of(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, list[tuple[str, bool]]]:
    """The further addresses of users, and whether each is verified."""
    found: dict[str, list[tuple[str, bool]]] = {}
    for row in await connection.execute(select(emails).where(emails.c.user.in_(ids)).order_by(emails.c.email)):
        found.setdefault(row.user, []).append((row.email, row.verified_at is not None))
    return found


async def ids_after(connection: AsyncConnection, id_: str, most: int) -> list[str]:
    """The ids of users, in order."""
    query = select(users.c.id).where(users.c.id > id_).order_by(users.c.id).limit(most)
    return list((await connection.execute(query)).scalars())


async def change(connection: AsyncConnection, id_: str, **values: Any) -> None:
    """Changes columns of a user."""
    await connection.execute(update(users).where(users.c.id == id_).values(**values))


async def change_password(connection: AsyncConnection, id_: str, before: str | None, after: str) -> bool:
    """Replaces the hash of a password; false where it is not the one before any more."""
    which = (users.c.id == id_) & (users.c.password == before)
    return (await connection.execute(update(users).where(which).values(password=after))).rowcount == 1


async def remove(connection: AsyncConnection, id_: str) -> None:
    for table in (emails, phones, devices):
        await connection.execute(delete(table).where(table.c.user == id_))
    await connection.execute(delete(users).where(users.c.id == id_))


async def count(connection: AsyncConnection) -> int:
    return (await connection.execute(select(func.count()).select_from(users))).scalar_one()


async def further(connection: AsyncConnection, id_: str) -> dict[str, datetime | None]:
    """A user's further addresses, and when each was verified."""
    rows = await connection.execute(select(emails).where(emails.c.user == id_).order_by(emails.c.email))
    return {row.email: utc(row.verified_at) if row.verified_at else None for row in rows}


async def add_email(connection: AsyncConnection, id_: str, email: str) -> None:
    await add_row(connection, emails, {"user": id_, "email": email, "verified_at": None})


async def verify_email(connection: AsyncConnection, id_: str, email: str) -> None:
    which = (emails.c.user == id_) & (emails.c.email == email)
    await connection.execute(update(emails).where(which).values(verified_at=datetime.now(UTC)))


async def remove_email(connection: AsyncConnection, id_: str, email: str) -> None:
    await connection.execute(delete(emails).where(emails.c.user == id_, emails.c.email == email))


async def phones_of(connection: AsyncConnection, id_: str) -> dict[str, datetime | None]:
    """A user's phones, and when each was verified."""
    rows = await connection.execute(select(phones).where(phones.c.user == id_).order_by(phones.c.phone))
    return {row.phone: utc(row.verified_at) if row.verified_at else None for row in rows}


async def phones_of_several(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, list[tuple[str, bool]]]:
    """The phones of users, and whether each is verified: those that are first, as the first is the one that is used."""
    found: dict[str, list[tuple[str, bool]]] = {}
    query = select(phones).where(phones.c.user.in_(ids)).order_by(phones.c.verified_at.is_(None), phones.c.phone)
    for row in await connection.execute(query):
        found.setdefault(row.user, []).append((row.phone, row.verified_at is not None))
    return found


async def add_phone(connection: AsyncConnection, id_: str, phone: str) -> None:
    await add_row(connection, phones, {"user": id_, "phone": phone, "verified_at": None})


async def verify_phone(connection: AsyncConnection, id_: str, phone: str) -> None:
    which = (phones.c.user == id_) & (phones.c.phone == phone)
    await connection.execute(update(phones).where(which).values(verified_at=datetime.now(UTC)))


async def remove_phone(connection: AsyncConnection, id_: str, phone: str) -> None:
    await connection.execute(delete(phones).where(phones.c.user == id_, phones.c.phone == phone))


async def knows(connection: AsyncConnection, id_: str, digest: str) -> bool:
    """Whether a user has signed in from a device."""
    query = select(devices.c.user).where(devices.c.user == id_, devices.c.digest == digest)
    return (await connection.execute(query)).first() is not None


async def know(connection: AsyncConnection, id_: str, digest: str) -> None:
    """Notes that a user has signed in from a device."""
    row = {"user": id_, "digest": digest, "used_at": datetime.now(UTC)}
    await add_row(connection, devices, row)


def _found(row: Any) -> tuple[User, str | None] | None:
    return (_user(row), row.password) if row else None


def _user(row: Any) -> User:
    return User(
        row.id,
        row.email,
        utc(row.verified_at) if row.verified_at else None,
        tuple(row.scopes.split()),
        row.name,
        row.time_zone,
        tuple(row.languages.split()),
        utc(row.created_at),
        row.password is not None,
    )
