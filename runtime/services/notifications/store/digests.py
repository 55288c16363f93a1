"""Digests: windows in which notifications are gathered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from runtime.services.notifications.store.tables import digest_items, windows
from runtime.storage.rows import add

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection


async def gather(
    connection: AsyncConnection,
    recipient: str,
    category: str,
    key: str,
    notification: str,
    *,
    fresh: str,
    now: datetime,
    closes_at: datetime,
) -> bool:
    """Adds a notification to the window that is open, or opens one; returns whether it did open one.

    The statement locks the window's row until the transaction ends, also where it changes nothing: whoever closes the
    window waits for those who gather, and those who come later find none and open the next.

    Args:
        fresh: the id of the digest, should a window be opened.
        closes_at: its end, should it be opened.
    """
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    values = {"recipient": recipient, "category": category, "key": key, "digest": fresh, "closes_at": closes_at}
    statement = insert(windows).values(**values)
    statement = statement.on_conflict_do_update(
        index_elements=["recipient", "category", "key"],
        set_={"digest": fresh, "closes_at": closes_at},
        where=windows.c.closes_at <= now,
    )
    opened = (await connection.execute(statement)).rowcount == 1
    digest = fresh
    if not opened:
        query = select(windows.c.digest).where(
            windows.c.recipient == recipient, windows.c.category == category, windows.c.key == key
        )
        digest = (await connection.execute(query)).scalar_one()
    await add(connection, digest_items, {"digest": digest, "notification": notification})
    return opened


async def stranded(connection: AsyncConnection, before: datetime, most: int) -> list[tuple[str, str]]:
    """Digests, with their recipients, that should have been closed by then: their jobs are lost."""
    query = select(windows.c.digest, windows.c.recipient).where(windows.c.closes_at < before).limit(most)
    return [(row.digest, row.recipient) for row in await connection.execute(query)]


async def close(connection: AsyncConnection, digest: str) -> list[str]:
    """Ends a digest: its notifications, in order. Whoever asks again gets none."""
    await connection.execute(delete(windows).where(windows.c.digest == digest))
    change = delete(digest_items).where(digest_items.c.digest == digest).returning(digest_items.c.notification)
    return sorted((await connection.execute(change)).scalars())
