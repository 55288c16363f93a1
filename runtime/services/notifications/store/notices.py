"""Notifications as they were asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select, update

from runtime.services.notifications.ports import Audience, Notice
from runtime.services.notifications.store.tables import deliveries, notifications
from runtime.storage.rows import add as add_row
from runtime.storage.rows import utc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Kept:
    """A notification as it is kept.

    Args:
        print: a digest of what was asked for: the same key with another one is a conflict.
        due_at: when it goes out, where that lay ahead.
        expanded_at: when all of its recipients had their rows.
        recipients: how many were told.
    """

    id: str
    notice: Notice
    audience: Audience
    print: str
    created_by: str
    created_at: datetime
    due_at: datetime | None
    expanded_at: datetime | None
    recipients: int


async def add(connection: AsyncConnection, kept: Kept) -> bool:
    """Adds a notification; false where there is one of its key."""
    notice, to = kept.notice, kept.audience
    options = {
        "delays": list(notice.delays) if notice.delays is not None else None,
        "urgency": notice.urgency,
        "mode": notice.mode,
        "link": notice.link,
    }
    audience = {
        "users": list(to.users),
        "emails": list(to.emails),
        "phones": list(to.phones),
        "topic": to.topic,
        "everyone": to.everyone,
        "but": list(to.but),
    }
    row = {
        "id": kept.id,
        "operation": notice.key,
        "print": kept.print,
        "category": notice.category,
        "audience": json.dumps(audience),
        "data": json.dumps(notice.data),
        "options": json.dumps(options),
        "created_by": kept.created_by,
        "created_at": kept.created_at,
        "due_at": kept.due_at,
        "recipients": 0,
    }
    return await add_row(connection, notifications, row)


async def find(connection: AsyncConnection, id_: str, *, lock: bool = False) -> Kept | None:
    """A notification; with `lock`, nobody else expands it until the transaction ends."""
    query = select(notifications).where(notifications.c.id == id_)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    return _kept(row) if row else None


async def several(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, Kept]:
    """Those of the notifications that there are."""
    rows = await connection.execute(select(notifications).where(notifications.c.id.in_(ids)))
    return {row.id: _kept(row) for row in rows}


async def of_key(connection: AsyncConnection, key: str) -> Kept | None:
    """The notification of a key."""
    row = (await connection.execute(select(notifications).where(notifications.c.operation == key))).one_or_none()
    return _kept(row) if row else None


async def told(connection: AsyncConnection, id_: str, count: int, *, all_of_them: bool) -> None:
    """Notes that so many more recipients have their rows, and whether they are all."""
    values: dict[str, Any] = {"recipients": notifications.c.recipients + count}
    if all_of_them:
        values["expanded_at"] = datetime.now(UTC)
    await connection.execute(update(notifications).where(notifications.c.id == id_).values(**values))


async def stranded(connection: AsyncConnection, before: datetime, most: int) -> list[str]:
    """Notifications that should have been expanded by then: their jobs are lost."""
    query = select(notifications.c.id).where(
        notifications.c.expanded_at.is_(None),
        func.coalesce(notifications.c.due_at, notifications.c.created_at) < before,
    )
    return list((await connection.execute(query.limit(most))).scalars())


async def forget(connection: AsyncConnection, before: datetime, most: int) -> int:
    """Removes notifications that were told before then, with their receipts; returns how many."""
    query = select(notifications.c.id).where(
        notifications.c.created_at < before, notifications.c.expanded_at.is_not(None)
    )
    ids = list((await connection.execute(query.limit(most))).scalars())
    if ids:
        await connection.execute(delete(deliveries).where(deliveries.c.notification.in_(ids)))
        await connection.execute(delete(notifications).where(notifications.c.id.in_(ids)))
    return len(ids)


def _kept(row: Any) -> Kept:
    options, to = json.loads(row.options), json.loads(row.audience)
    notice = Notice(
        row.category,
        json.loads(row.data),
        row.operation,
        utc(row.due_at) if row.due_at else None,
        options["delays"],
        options["urgency"],
        options["mode"],
        options["link"],
    )
    return Kept(
        row.id,
        notice,
        Audience(
            tuple(to["users"]),
            tuple(to["emails"]),
            to["topic"],
            to["everyone"],
            tuple(to["but"]),
            tuple(to.get("phones", ())),
        ),
        row.print,
        row.created_by,
        utc(row.created_at),
        utc(row.due_at) if row.due_at else None,
        utc(row.expanded_at) if row.expanded_at else None,
        row.recipients,
    )
