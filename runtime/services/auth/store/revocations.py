"""What has been revoked, in the order in which it was committed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.ext.asyncio import AsyncConnection

metadata = MetaData()

revocations = Table(
    "auth_revocations",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("subject", String(200), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, index=True),
)

_IN_TURN: Final = text("SELECT pg_advisory_xact_lock(7203951846)")
"""One writer at a time until its commit, as on SQLite: whoever reads on from an id never misses a lower one that came
later."""


async def write(connection: AsyncConnection, subjects: Iterable[str]) -> None:
    """Tells all instances that something is not good any more; write it last in a transaction."""
    now = datetime.now(UTC)
    rows = [{"subject": subject, "at": now} for subject in subjects]
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        await connection.execute(_IN_TURN)
    await connection.execute(insert(revocations), rows)


async def newest(connection: AsyncConnection) -> int:
    """The id of the last one; 0 where there is none."""
    return (await connection.execute(select(func.max(revocations.c.id)))).scalar_one() or 0


async def after(connection: AsyncConnection, id_: int) -> list[tuple[int, str]]:
    """Those after an id, in order."""
    query = select(revocations.c.id, revocations.c.subject).where(revocations.c.id > id_).order_by(revocations.c.id)
    return [(row.id, row.subject) for row in await connection.execute(query)]


async def forget(connection: AsyncConnection, before: datetime) -> None:
    """Removes those that everybody has seen long ago; the newest stays, so that ids never begin again."""
    last = select(func.max(revocations.c.id)).scalar_subquery()
    await connection.execute(delete(revocations).where(revocations.c.at < before, revocations.c.id < last))
