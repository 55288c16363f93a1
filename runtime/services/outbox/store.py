"""The tables of the outbox and the inbox, and what is asked of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    event,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from runtime.errors import Unreachable
from runtime.storage.rows import add, utc

AWAY: Final = (Unreachable, SQLAlchemyError, OSError)
"""What a query raises while the database is out of reach or refuses."""

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import CursorResult, Executable
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

metadata = MetaData()

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("name", String(40), nullable=False, unique=True),
    Column("lane", String(200), nullable=False),
    Column("body", Text, nullable=False),
    Column("dead", Boolean, nullable=False),
    Column("error", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("outbox_lanes", "dead", "lane", "id"),
)
"""What is to be delivered. `lane` is where it goes, `jobs:email`; entries of one lane go out in the order of `id`.

The `body` of a job is `{"payload", "due"?, "once"?}`, that of an event `{"type", "data", "key"?, "id"?}`; without a
name of its own either is known by `name`.
"""

inbox = Table(
    "inbox",
    metadata,
    Column("subscription", String(200), primary_key=True),
    Column("event", String(255), primary_key=True),
    Column("kept_until", DateTime(timezone=True), nullable=False, index=True),
)
"""Events that have been handled."""

_WRITTEN = "outbox"
"""Marks a connection on which entries have been written."""


class Entry(NamedTuple):
    """A row of the outbox."""

    id: int
    name: str
    lane: str
    body: dict[str, Any]
    error: str | None
    created_at: datetime


class Figures(NamedTuple):
    """The outbox in numbers; `oldest` is the moment of the oldest entry that waits."""

    waiting: int
    dead: int
    oldest: datetime | None


async def write(connection: AsyncConnection, name: str, lane: str, body: Mapping[str, Any]) -> None:
    """Adds an entry, in the connection's transaction."""
    row = {"name": name, "lane": lane, "body": json.dumps(body), "dead": False, "created_at": datetime.now(UTC)}
    await connection.execute(insert(outbox).values(row))
    connection.info[_WRITTEN] = True


def on_written(engine: AsyncEngine, notify: Callable[[], None]) -> Callable[[], None]:
    """Calls back when a connection on which entries were written is given back: they have been committed, or are gone.

    Returns:
        What ends it.
    """

    def returned(_: object, record: Any) -> None:
        if record.info.pop(_WRITTEN, False):
            notify()

    event.listen(engine.sync_engine, "checkin", returned)
    return lambda: event.remove(engine.sync_engine, "checkin", returned)


async def lanes(connection: AsyncConnection) -> list[str]:
    """The lanes in which entries wait."""
    query = select(outbox.c.lane).where(outbox.c.dead.is_(False)).distinct()
    return list((await connection.execute(query)).scalars())


async def head(connection: AsyncConnection, lane: str, most: int) -> list[Entry]:
    """The first entries of a lane."""
    query = select(outbox).where(outbox.c.dead.is_(False), outbox.c.lane == lane).order_by(outbox.c.id).limit(most)
    return [_entry(row) for row in await connection.execute(query)]


async def remove(connection: AsyncConnection, ids: Sequence[int]) -> None:
    await connection.execute(delete(outbox).where(outbox.c.id.in_(ids)))


async def bury(connection: AsyncConnection, id_: int, error: str) -> None:
    """Puts an entry aside."""
    await connection.execute(update(outbox).where(outbox.c.id == id_).values(dead=True, error=error))


async def buried(connection: AsyncConnection, after: int, most: int) -> list[Entry]:
    """Entries that were put aside."""
    query = select(outbox).where(outbox.c.dead.is_(True), outbox.c.id > after).order_by(outbox.c.id).limit(most)
    return [_entry(row) for row in await connection.execute(query)]


async def revive(connection: AsyncConnection, ids: Sequence[int] | None) -> int:
    """Lets entries that were put aside wait again; returns how many."""
    change = update(outbox).where(outbox.c.dead.is_(True)).values(dead=False, error=None)
    if ids is not None:
        change = change.where(outbox.c.id.in_(ids))
    return (await connection.execute(change)).rowcount


async def figures(connection: AsyncConnection) -> Figures:
    query = select(outbox.c.dead, func.count(), func.min(outbox.c.created_at)).group_by(outbox.c.dead)
    found = {dead: (count, oldest) for dead, count, oldest in await connection.execute(query)}
    waiting, oldest = found.get(False, (0, None))
    return Figures(waiting, found.get(True, (0, None))[0], utc(oldest) if oldest else None)


async def take(connection: AsyncConnection, subscription: str, event_id: str, keep: float) -> bool:
    """Writes down that an event is handled; false where it has been before.

    Where another transaction is about to say the same, this one waits for its end.
    """
    kept_until = datetime.now(UTC) + timedelta(seconds=keep)
    return await add(connection, inbox, {"subscription": subscription, "event": event_id, "kept_until": kept_until})


async def taken(connection: AsyncConnection, subscription: str, event_id: str) -> bool:
    """Whether an event is noted as handled."""
    query = select(inbox.c.event).where(inbox.c.subscription == subscription, inbox.c.event == event_id)
    return (await connection.execute(query)).scalar_one_or_none() is not None


async def forget(connection: AsyncConnection) -> int:
    """Removes what need not be remembered any more; returns how many."""
    return (await connection.execute(delete(inbox).where(inbox.c.kept_until < datetime.now(UTC)))).rowcount


async def run(
    connection: AsyncConnection,
    statement: str | Executable,
    parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
) -> CursorResult[Any]:
    return await connection.execute(text(statement) if isinstance(statement, str) else statement, parameters)


def _entry(row: Any) -> Entry:
    return Entry(row.id, row.name, row.lane, _body(row.body), row.error, utc(row.created_at))


def _body(stored: str) -> dict[str, Any]:
    """What was written; nothing where a hand has written what is no JSON object, which is then put aside."""
    try:
        known = json.loads(stored)
    except (ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}
