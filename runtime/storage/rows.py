"""What SQLite and PostgreSQL do not have in common, for the tables of the services."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import Numeric, String
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Dialect, Table
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.types import TypeEngine


class Exact(TypeDecorator[Decimal]):
    """A decimal with nine places: NUMERIC on PostgreSQL. SQLite's NUMERIC would make a float of it, so there it is a
    text: it can be compared with zero there, and not be summed up.
    """

    impl = Numeric(21, 9)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String(32) if dialect.name == "sqlite" else Numeric(21, 9))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        return f"{value:f}" if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


async def add(connection: AsyncConnection, table: Table, row: Mapping[str, Any]) -> bool:
    """Inserts a row where none has its key; returns whether it did.

    Where another transaction is about to insert the same, this one waits for its end.
    """
    return (await connection.execute(_insert(connection, table).values(row).on_conflict_do_nothing())).rowcount == 1


async def add_all(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts those of the rows whose key none has."""
    await connection.execute(_insert(connection, table).on_conflict_do_nothing(), list(rows))


async def put_all(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts rows, each in the place of one that has its key."""
    statement = _insert(connection, table)
    keys = [column.name for column in table.primary_key]
    others = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    await connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others), list(rows))


def _insert(connection: AsyncConnection, table: Table) -> postgresql.Insert | sqlite.Insert:
    return (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(table)


def utc(moment: datetime) -> datetime:
    """A moment as it was written: SQLite gives it back without its zone."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
