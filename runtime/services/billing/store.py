"""The tables of the ledger, and what is asked of them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from runtime.errors import Unreachable
from runtime.services.billing.ports import Entry, Posting, Reservation
from runtime.storage.rows import Exact, add, utc

if TYPE_CHECKING:
    from typing import Any

    from sqlalchemy.ext.asyncio import AsyncConnection

AWAY: Final = (Unreachable, SQLAlchemyError, OSError)
"""What a query raises while the database is out of reach or refuses."""

metadata = MetaData()

accounts = Table(
    "credit_accounts",
    metadata,
    Column("account", String(200), primary_key=True),
    Column("balance", Exact, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)

entries = Table(
    "credit_entries",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("account", String(200), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("amount", Exact, nullable=False),
    Column("balance", Exact, nullable=False),
    Column("operation", String(255), nullable=False, unique=True),
    Column("reason", String(500)),
    Column("reference", String(500)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("credit_entries_account", "account", "id"),
)
"""The ledger. Triggers of the database refuse every change of a row."""

reservations = Table(
    "credit_reservations",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("account", String(200), nullable=False, index=True),
    Column("amount", Exact, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
    Column("spender", String(200)),
)

spenders = Table(
    "credit_spenders",
    metadata,
    Column("spender", String(200), primary_key=True),
    Column("spent", Exact, nullable=False),
)


async def lock(connection: AsyncConnection, account: str) -> Decimal:
    """The balance of an account, which nobody else moves until this transaction ends; makes the account if need be."""
    query = select(accounts.c.balance).where(accounts.c.account == account).with_for_update()
    balance: Decimal | None = (await connection.execute(query)).scalar_one_or_none()
    if balance is None:
        await add(connection, accounts, {"account": account, "balance": Decimal(0), "updated_at": datetime.now(UTC)})
        return Decimal((await connection.execute(query)).scalar_one())
    return balance


async def balance(connection: AsyncConnection, account: str) -> Decimal:
    found = await connection.execute(select(accounts.c.balance).where(accounts.c.account == account))
    return found.scalar_one_or_none() or Decimal(0)


async def append(connection: AsyncConnection, posting: Posting, after: Decimal) -> bool:
    """Adds an entry and moves the balance of an account that is locked; false where the operation has an entry."""
    now = datetime.now(UTC)
    row = {
        "account": posting.account,
        "kind": posting.kind,
        "amount": posting.amount,
        "balance": after,
        "operation": posting.operation,
        "reason": posting.reason,
        "reference": posting.reference,
        "created_at": now,
    }
    if not await add(connection, entries, row):
        return False
    change = update(accounts).where(accounts.c.account == posting.account).values(balance=after, updated_at=now)
    await connection.execute(change)
    return True


async def entry(connection: AsyncConnection, operation: str) -> Entry | None:
    """The entry of an operation."""
    row = (await connection.execute(select(entries).where(entries.c.operation == operation))).one_or_none()
    return _entry(row) if row else None


async def page(connection: AsyncConnection, account: str, before: int | None, most: int) -> list[Entry]:
    """An account's entries, newest first."""
    query = select(entries).where(entries.c.account == account).order_by(entries.c.id.desc()).limit(most)
    if before is not None:
        query = query.where(entries.c.id < before)
    return [_entry(row) for row in await connection.execute(query)]


async def reserved(connection: AsyncConnection, account: str, spender: str | None = None) -> Decimal:
    """The sum of an account's reservations whose time is not over; of one spender alone, where it is given."""
    query = select(reservations.c.amount).where(
        reservations.c.account == account, reservations.c.expires_at > datetime.now(UTC)
    )
    if spender is not None:
        query = query.where(reservations.c.spender == spender)
    return sum((await connection.execute(query)).scalars(), Decimal(0))


async def spent(connection: AsyncConnection, spender: str) -> Decimal:
    """What a spender has spent."""
    found = await connection.execute(select(spenders.c.spent).where(spenders.c.spender == spender))
    return found.scalar_one_or_none() or Decimal(0)


async def spend(connection: AsyncConnection, spender: str, amount: Decimal) -> None:
    """Adds to what a spender has spent, whose account is locked."""
    after = await spent(connection, spender) + amount
    if not await add(connection, spenders, {"spender": spender, "spent": after}):
        await connection.execute(update(spenders).where(spenders.c.spender == spender).values(spent=after))


async def reserve(connection: AsyncConnection, reservation: Reservation) -> bool:
    """Adds a reservation; false where there is one of its id."""
    row = {
        "id": reservation.id,
        "account": reservation.account,
        "amount": reservation.amount,
        "expires_at": reservation.expires_at,
        "spender": reservation.spender,
    }
    return await add(connection, reservations, row)


async def reservation(connection: AsyncConnection, id_: str) -> Reservation | None:
    row = (await connection.execute(select(reservations).where(reservations.c.id == id_))).one_or_none()
    return Reservation(row.id, row.account, row.amount, utc(row.expires_at), row.spender) if row else None


async def release(connection: AsyncConnection, id_: str) -> None:
    await connection.execute(delete(reservations).where(reservations.c.id == id_))


async def forget(connection: AsyncConnection, before: datetime) -> int:
    """Removes reservations whose time was over by then; returns how many."""
    return (await connection.execute(delete(reservations).where(reservations.c.expires_at < before))).rowcount


async def figures(connection: AsyncConnection) -> tuple[int, int]:
    """How many accounts there are, and how many of them are below zero."""
    every = (await connection.execute(select(func.count()).select_from(accounts))).scalar_one()
    below = select(func.count()).select_from(accounts).where(accounts.c.balance < Decimal(0))
    return every, (await connection.execute(below)).scalar_one()


def _entry(row: Any) -> Entry:
    return Entry(
        row.id,
        row.account,
        row.kind,
        row.amount,
        row.balance,
        row.operation,
        row.reason,
        row.reference,
        utc(row.created_at),
    )
