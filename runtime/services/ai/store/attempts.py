"""The ledger of attempts: a row for each request that was sent to a provider; rows are added and never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

metadata = MetaData()

attempts = Table(
    "ai_attempts",
    metadata,
    Column("call", String(40), primary_key=True),
    Column("operation", String(20), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("user", String(200), nullable=False),
    Column("key", String(200), nullable=False),
    Column("chain", String(63)),
    Column("provider", String(63), nullable=False),
    Column("model", String(200), nullable=False),
    Column("outcome", String(40), nullable=False),
    Column("status", Integer),
    Column("streamed", Boolean, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("input", BigInteger, nullable=False),
    Column("cached_input", BigInteger, nullable=False),
    Column("cache_write", BigInteger, nullable=False),
    Column("output", BigInteger, nullable=False),
    Column("reasoning", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("charged", BigInteger, nullable=False),
    Column("price", String(60), nullable=False),
    Column("entry", String(60)),
    Column("day", Integer, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("duration", BigInteger, nullable=False),
    Index("ai_attempts_day", "day"),
    Index("ai_attempts_user", "user", "day"),
    Index("ai_attempts_key", "key", "day"),
)


class Row(msgspec.Struct):
    """A row of the ledger, and which funds pay for it.

    Args:
        cost: what it costs by the price.
        charged: what of it we charge: nothing where it was asked with a key of the caller's own.
        price: the version of the price.
        entry: the entry of the ledger of credits that it is part of; set when it is written.
        day: days since 1970-01-01 UTC.
        started, duration: in ms.
        funds: the keys of the funds that pay, see `runtime.services.ai.funds`.
    """

    call: str
    operation: str
    number: int
    user: str
    key: str
    chain: str | None
    provider: str
    model: str
    outcome: str
    status: int | None
    streamed: bool
    estimated: bool
    input: int
    cached_input: int
    cache_write: int
    output: int
    reasoning: int
    cost: int
    charged: int
    price: str
    entry: str | None
    day: int
    started: int
    duration: int
    funds: tuple[str, ...]

    @property
    def identity(self) -> tuple[str, str, int]:
        return self.call, self.operation, self.number


FIELDS = tuple(column.name for column in attempts.columns)


async def add(connection: AsyncConnection, rows: Sequence[Row]) -> set[tuple[str, str, int]]:
    """Adds rows; returns the identities of those that were not there: a commit whose answer was lost is made again."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(attempts).on_conflict_do_nothing().returning(*attempts.primary_key.columns)
    values: list[dict[str, Any]] = [{name: getattr(row, name) for name in FIELDS} for row in rows]
    return {(row[0], row[1], row[2]) for row in await connection.execute(statement, values)}
