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
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from runtime.errors import Unreachable
from runtime.services.billing.ports import Entry, Posting, Reservation
from runtime.storage.rows import Exact, add, add_all, put_all, utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
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


async def reserved(connection: AsyncConnection, account: str) -> Decimal:
    """The sum of an account's reservations whose time is not over."""
    query = select(reservations.c.amount).where(
        reservations.c.account == account, reservations.c.expires_at > datetime.now(UTC)
    )
    return sum((await connection.execute(query)).scalars(), Decimal(0))


async def reserved_by(connection: AsyncConnection, spender: str, account: str, *, without: str = "") -> Decimal:
    """The sum of a spender's reservations whose time is not over, of its account or under its name, but for one."""
    query = select(reservations.c.amount).where(
        reservations.c.account.in_((account, spender)),  # which has an index
        reservations.c.spender == spender,
        reservations.c.expires_at > datetime.now(UTC),
        reservations.c.id != without,
    )
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


async def lock_all(connection: AsyncConnection, names: Sequence[str]) -> dict[str, Decimal]:
    """The balances of accounts, which nobody else moves until this transaction ends; makes those that are not there."""
    ordered = sorted(names)  # so that two of these never wait for each other
    now = datetime.now(UTC)
    await add_all(
        connection, accounts, [{"account": name, "balance": Decimal(0), "updated_at": now} for name in ordered]
    )
    query = select(accounts.c.account, accounts.c.balance).where(accounts.c.account.in_(ordered))
    locked = await connection.execute(query.order_by(accounts.c.account).with_for_update())
    return {row.account: row.balance for row in locked}


async def reserved_of(connection: AsyncConnection, names: Sequence[str], without: Sequence[str]) -> dict[str, Decimal]:
    """The sums of accounts' reservations whose time is not over, but for some of them."""
    query = select(reservations.c.account, reservations.c.amount).where(
        reservations.c.account.in_(names),
        reservations.c.expires_at > datetime.now(UTC),
        reservations.c.id.not_in(without),
    )
    sums = dict.fromkeys(names, Decimal(0))
    for row in await connection.execute(query):
        sums[row.account] += row.amount
    return sums


async def append_all(connection: AsyncConnection, postings: Sequence[Posting], after: Mapping[str, Decimal]) -> None:
    """Adds entries, at most one of an account, and moves the balances of accounts that are locked."""
    now = datetime.now(UTC)
    rows = [
        {
            "account": posting.account,
            "kind": posting.kind,
            "amount": posting.amount,
            "balance": after[posting.account],
            "operation": posting.operation,
            "reason": posting.reason,
            "reference": posting.reference,
            "created_at": now,
        }
        for posting in postings
    ]
    await connection.execute(insert(entries), rows)
    change = update(accounts).where(accounts.c.account == bindparam("name"))
    moved = [{"name": posting.account, "balance": after[posting.account], "updated_at": now} for posting in postings]
    await connection.execute(change, moved)


async def operations(connection: AsyncConnection, names: Sequence[str]) -> set[str]:
    """Those of the operations that have an entry."""
    return set((await connection.execute(select(entries.c.operation).where(entries.c.operation.in_(names)))).scalars())


async def hold(connection: AsyncConnection, held: Sequence[Reservation]) -> None:
    """Sets reservations; one of nothing ends."""
    kept = [
        {
            "id": each.id,
            "account": each.account,
            "amount": each.amount,
            "expires_at": each.expires_at,
            "spender": each.spender,
        }
        for each in held
        if each.amount > 0
    ]
    if kept:
        await put_all(connection, reservations, kept)
    if ended := [each.id for each in held if each.amount <= 0]:
        await connection.execute(delete(reservations).where(reservations.c.id.in_(ended)))


async def abandon(connection: AsyncConnection, prefix: str) -> None:
    """Ends the reservations whose ids begin so."""
    await connection.execute(delete(reservations).where(reservations.c.id.startswith(prefix, autoescape=True)))


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
