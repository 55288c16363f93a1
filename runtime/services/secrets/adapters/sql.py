"""Where users' keys are stored: one row a user and provider."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Column, DateTime, MetaData, String, Table, Text, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.storage.database import Database

provider_keys = Table(
    "provider_keys",
    MetaData(),
    Column("id", String(40), primary_key=True),
    Column("subject", String(200), nullable=False),
    Column("provider", String(100), nullable=False),
    Column("value", Text, nullable=False),
    Column("label", String(200), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)
"""`value` is an envelope, `label` the key that it is under."""


class Record(NamedTuple):
    """A row."""

    id: str
    subject: str
    provider: str
    value: str
    label: str
    created: datetime
    updated: datetime


class ProviderKeyTable:
    """Reads and writes the rows.

    Args:
        database: the environment's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, subject: str, provider: str) -> Record | None:
        found = await self._select(provider_keys.c.subject == subject, provider_keys.c.provider == provider)
        return found[0] if found else None

    async def put(self, record: Record) -> bool:
        """Adds a row; false where another was faster for the same user and provider."""
        try:
            async with self._database.transaction() as connection:
                await connection.execute(insert(provider_keys).values(_values(record)))
        except IntegrityError:
            return False
        return True

    async def replace(self, record: Record, known: str, *, touched: bool) -> bool:
        """Replaces the value of a row, if it is still the one that is known.

        Args:
            touched: whether its user has replaced it, so that `updated` moves.
        """
        changed: dict[str, Any] = {"value": record.value, "label": record.label}
        if touched:
            changed["updated_at"] = record.updated
        same = (provider_keys.c.id == record.id) & (provider_keys.c.value == known)
        async with self._database.transaction() as connection:
            done = await connection.execute(update(provider_keys).where(same).values(changed))
        return done.rowcount == 1

    async def delete(self, subject: str, provider: str) -> None:
        mine = (provider_keys.c.subject == subject) & (provider_keys.c.provider == provider)
        async with self._database.transaction() as connection:
            await connection.execute(delete(provider_keys).where(mine))

    async def under_others(self, label: str, *, after: str, limit: int) -> Sequence[Record]:
        """Rows that are not under a key, by id."""
        return await self._select(provider_keys.c.label != label, provider_keys.c.id > after, limit=limit)

    async def counts(self) -> dict[str, int]:
        """How many rows are under each key."""
        query = select(provider_keys.c.label, func.count()).group_by(provider_keys.c.label)
        async with self._database.reading() as connection:
            return {label: count for label, count in (await connection.execute(query)).all()}  # noqa: C416

    async def _select(self, *conditions: Any, limit: int = 1) -> list[Record]:
        query = select(provider_keys).where(*conditions).order_by(provider_keys.c.id).limit(limit)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [Record(*row)._replace(created=_aware(row[5]), updated=_aware(row[6])) for row in rows]


def _values(record: Record) -> dict[str, Any]:
    names = ("id", "subject", "provider", "value", "label", "created_at", "updated_at")
    return dict(zip(names, record, strict=True))


def _aware(time: datetime) -> datetime:
    """SQLite forgets the offset."""
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
