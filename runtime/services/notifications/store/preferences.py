"""What users want, and how many they got today."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from runtime.services.notifications.settings import Settings
from runtime.services.notifications.store.tables import counts, preferences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection


async def find(connection: AsyncConnection, recipient: str, *, lock: bool = False) -> Settings:
    """The settings of a recipient; those of somebody who has chosen nothing where there are none."""
    query = select(preferences.c.settings).where(preferences.c.recipient == recipient)
    found = (await connection.execute(query.with_for_update() if lock else query)).scalar_one_or_none()
    return msgspec.json.decode(found, type=Settings) if found else Settings()


async def several(connection: AsyncConnection, recipients: Sequence[str]) -> dict[str, Settings]:
    """The settings of those of the recipients who have chosen anything."""
    query = select(preferences.c.recipient, preferences.c.settings).where(preferences.c.recipient.in_(recipients))
    return {
        recipient: msgspec.json.decode(settings, type=Settings)
        for recipient, settings in await connection.execute(query)
    }


async def put(connection: AsyncConnection, recipient: str, settings: Settings) -> None:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    new = {"settings": msgspec.json.encode(settings).decode(), "updated_at": datetime.now(UTC)}
    statement = insert(preferences).values(recipient=recipient, **new)
    await connection.execute(statement.on_conflict_do_update(index_elements=["recipient"], set_=new))


async def take(connection: AsyncConnection, recipient: str, category: str, day: str, limit: int) -> bool:
    """Counts one more of a recipient's day, where that does not pass the limit; returns whether it counted.

    One statement: of several at once, exactly `limit` pass.
    """
    if limit < 1:
        return False
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(counts).values(recipient=recipient, category=category, day=day, count=1)
    statement = statement.on_conflict_do_update(
        index_elements=["recipient", "category", "day"],
        set_={"count": counts.c.count + 1},
        where=counts.c.count < limit,
    )
    return (await connection.execute(statement)).rowcount == 1


async def forget_days(connection: AsyncConnection, before: str) -> int:
    """Removes the counts of days that are over everywhere."""
    return (await connection.execute(delete(counts).where(counts.c.day < before))).rowcount
