"""What was spent of each budget in each length of time, and what running calls may still spend."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    func,
    select,
    tuple_,
    update,
)

from runtime.storage.rows import add_all, put_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

metadata = MetaData()

budgets = Table(
    "ai_budgets",
    metadata,
    Column("budget", String(63), primary_key=True),
    Column("holder", String(200), primary_key=True),
    Column("begins", BigInteger, primary_key=True),
    Column("ends", BigInteger, nullable=False, index=True),
    Column("spent", BigInteger, nullable=False),
)

holds = Table(
    "ai_budget_holds",
    metadata,
    Column("instance", String(60), primary_key=True),
    Column("budget", String(63), primary_key=True),
    Column("holder", String(200), primary_key=True),
    Column("begins", BigInteger, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
    Index("ai_budget_holds_budget", "budget", "holder", "begins"),
)


class Window(NamedTuple):
    """One budget of one holder in one length of time.

    Args:
        budget: its name in the spec.
        holder: the user, the key, or the empty text for all callers together.
        begins, ends: Unix time, seconds.
    """

    budget: str
    holder: str
    begins: int
    ends: int

    @property
    def identity(self) -> tuple[str, str, int]:
        return self.budget, self.holder, self.begins


class Standing(NamedTuple):
    """What has become of a budget: nano-dollars spent, and held for running calls."""

    spent: int
    held: int


async def lock(connection: AsyncConnection, windows: Sequence[Window], instance: str) -> dict[Window, Standing]:
    """How windows stand, with what others than this instance hold; nobody else changes them until the transaction
    ends."""
    if not windows:
        return {}
    ordered = sorted(windows)  # so that two of these never wait for each other
    await add_all(connection, budgets, [_row(window, 0) for window in ordered])
    chosen = _key(budgets).in_([window.identity for window in ordered])
    await connection.execute(select(budgets.c.spent).where(chosen).order_by(*_columns(budgets)).with_for_update())
    return await standing(connection, ordered, without=instance)


async def standing(
    connection: AsyncConnection, windows: Sequence[Window], *, without: str = ""
) -> dict[Window, Standing]:
    """How windows stand.

    Args:
        without: an instance whose holds do not count.
    """
    wanted = [window.identity for window in windows]
    query = select(*_columns(budgets), budgets.c.spent).where(_key(budgets).in_(wanted))
    spent = {(row[0], row[1], row[2]): int(row[3]) for row in await connection.execute(query)}
    sums = (
        select(*_columns(holds), func.sum(holds.c.amount))
        .where(_key(holds).in_(wanted), holds.c.expires_at > datetime.now(UTC), holds.c.instance != without)
        .group_by(*_columns(holds))
    )
    held = {(row[0], row[1], row[2]): int(row[3]) for row in await connection.execute(sums)}
    return {each: Standing(spent.get(each.identity, 0), held.get(each.identity, 0)) for each in windows}


async def spend(connection: AsyncConnection, amounts: Mapping[Window, int]) -> None:
    """Adds to what was spent."""
    ordered = sorted(amounts)
    await add_all(connection, budgets, [_row(window, 0) for window in ordered])
    change = (
        update(budgets)
        .where(
            budgets.c.budget == bindparam("b"), budgets.c.holder == bindparam("h"), budgets.c.begins == bindparam("s")
        )
        .values(spent=budgets.c.spent + bindparam("more"))
    )
    added = [{"b": w.budget, "h": w.holder, "s": w.begins, "more": amounts[w]} for w in ordered]
    await connection.execute(change, added)


async def hold(connection: AsyncConnection, instance: str, amounts: Mapping[Window, int], expires: datetime) -> None:
    """Sets what an instance holds; with nothing it holds no more."""
    kept = [
        {"instance": instance, **_identity(window), "amount": amount, "expires_at": expires}
        for window, amount in sorted(amounts.items())
        if amount > 0
    ]
    ended = [
        {"i": instance, "b": w.budget, "h": w.holder, "s": w.begins} for w, amount in amounts.items() if amount <= 0
    ]
    if kept:
        await put_all(connection, holds, kept)
    if ended:
        gone = delete(holds).where(
            holds.c.instance == bindparam("i"),
            holds.c.budget == bindparam("b"),
            holds.c.holder == bindparam("h"),
            holds.c.begins == bindparam("s"),
        )
        await connection.execute(gone, ended)


async def abandon(connection: AsyncConnection, instance: str) -> None:
    """Ends all that an instance holds."""
    await connection.execute(delete(holds).where(holds.c.instance == instance))


async def forget(connection: AsyncConnection, before: datetime) -> None:
    """Removes windows that ended by then, and holds whose time was over."""
    await connection.execute(delete(holds).where(holds.c.expires_at < before))
    await connection.execute(delete(budgets).where(budgets.c.ends < int(before.timestamp())))


def _columns(table: Table) -> tuple[Column[Any], ...]:
    return table.c.budget, table.c.holder, table.c.begins


def _key(table: Table) -> Any:
    return tuple_(*_columns(table))


def _identity(window: Window) -> dict[str, Any]:
    return {"budget": window.budget, "holder": window.holder, "begins": window.begins}


def _row(window: Window, spent: int) -> dict[str, Any]:
    return {**_identity(window), "ends": window.ends, "spent": spent}
