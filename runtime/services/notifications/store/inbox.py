"""The inboxes of users."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from runtime.services.notifications.ports import InboxItem
from runtime.services.notifications.store.tables import inbox
from runtime.storage.rows import utc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection


async def add(connection: AsyncConnection, recipients: Sequence[str], items: Sequence[InboxItem]) -> None:
    """Puts an item into the inbox of each recipient; those that are there already stay as they are."""
    if not items:
        return
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    rows = [
        {
            "id": item.id,
            "notification": item.notification,
            "recipient": recipient,
            "category": item.category,
            "title": item.title,
            "text": item.text,
            "link": item.link,
            "created_at": item.created_at,
        }
        for recipient, item in zip(recipients, items, strict=True)
    ]
    await connection.execute(insert(inbox).on_conflict_do_nothing(), rows)


async def page(
    connection: AsyncConnection, user: str, before: str | None, most: int, *, unread: bool, archived: bool
) -> list[InboxItem]:
    """A user's items, the newest first."""
    query = select(inbox).where(inbox.c.recipient == user)
    query = query.where(inbox.c.archived_at.is_not(None) if archived else inbox.c.archived_at.is_(None))
    if unread:
        query = query.where(inbox.c.read_at.is_(None))
    if before is not None:
        query = query.where(inbox.c.id < before)
    return [_item(row) for row in await connection.execute(query.order_by(inbox.c.id.desc()).limit(most))]


async def after(connection: AsyncConnection, user: str, id_: str, most: int) -> list[InboxItem]:
    """A user's items after one, the oldest first."""
    query = select(inbox).where(inbox.c.recipient == user, inbox.c.id > id_).order_by(inbox.c.id).limit(most)
    return [_item(row) for row in await connection.execute(query)]


async def newest(connection: AsyncConnection, user: str) -> str:
    """The id of a user's newest item; empty where there is none."""
    found = (await connection.execute(select(func.max(inbox.c.id)).where(inbox.c.recipient == user))).scalar_one()
    return found or ""


async def unread(connection: AsyncConnection, user: str) -> int:
    query = (
        select(func.count())
        .select_from(inbox)
        .where(inbox.c.recipient == user, inbox.c.read_at.is_(None), inbox.c.archived_at.is_(None))
    )
    return (await connection.execute(query)).scalar_one()


async def find(connection: AsyncConnection, user: str, id_: str) -> InboxItem | None:
    query = select(inbox).where(inbox.c.recipient == user, inbox.c.id == id_)
    row = (await connection.execute(query)).one_or_none()
    return _item(row) if row else None


async def read(connection: AsyncConnection, user: str, id_: str | None) -> list[str]:
    """Marks one item, or all, as read; returns the notifications of those that were not."""
    change = update(inbox).where(inbox.c.recipient == user, inbox.c.read_at.is_(None))
    if id_ is not None:
        change = change.where(inbox.c.id == id_)
    found = await connection.execute(change.values(read_at=datetime.now(UTC)).returning(inbox.c.notification))
    return list(found.scalars())


async def archive(connection: AsyncConnection, user: str, id_: str) -> None:
    change = update(inbox).where(inbox.c.recipient == user, inbox.c.id == id_, inbox.c.archived_at.is_(None))
    await connection.execute(change.values(archived_at=datetime.now(UTC)))


async def seen(connection: AsyncConnection, user: str, ids: Sequence[str]) -> list[str]:
    """Notes that an open connection has taken items; returns the notifications of those that are new in that."""
    change = update(inbox).where(inbox.c.recipient == user, inbox.c.id.in_(ids), inbox.c.seen_at.is_(None))
    found = await connection.execute(change.values(seen_at=datetime.now(UTC)).returning(inbox.c.notification))
    return list(found.scalars())


async def changed(connection: AsyncConnection, user: str, since: datetime, most: int) -> tuple[list[str], list[str]]:
    """The items that were read and those that were archived since then; of very many, the last."""
    read, archived = [
        select(inbox.c.id).where(inbox.c.recipient == user, moment >= since).order_by(moment.desc()).limit(most)
        for moment in (inbox.c.read_at, inbox.c.archived_at)
    ]
    return list((await connection.execute(read)).scalars()), list((await connection.execute(archived)).scalars())


async def noticed(connection: AsyncConnection, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], bool]:
    """Of pairs of notification and recipient, those that were taken by a connection or read; true where read."""
    query = select(inbox.c.notification, inbox.c.recipient, inbox.c.read_at).where(
        inbox.c.notification.in_({notification for notification, _ in pairs}),
        inbox.c.recipient.in_({recipient for _, recipient in pairs}),
        (inbox.c.seen_at.is_not(None)) | (inbox.c.read_at.is_not(None)),
    )
    found = {(row.notification, row.recipient): row.read_at is not None for row in await connection.execute(query)}
    return {pair: found[pair] for pair in pairs if pair in found}


async def ignored(connection: AsyncConnection, notification: str, after_: str, most: int) -> list[str]:
    """Recipients who have a notification in their inbox and have not read it, in order."""
    query = (
        select(inbox.c.recipient)
        .where(
            inbox.c.notification == notification,
            inbox.c.read_at.is_(None),
            inbox.c.archived_at.is_(None),
            inbox.c.recipient > after_,
        )
        .order_by(inbox.c.recipient)
        .limit(most)
    )
    return list((await connection.execute(query)).scalars())


def _item(row: Any) -> InboxItem:
    return InboxItem(
        row.id,
        row.notification,
        row.category,
        row.title,
        row.text,
        row.link,
        utc(row.created_at),
        utc(row.read_at) if row.read_at else None,
        utc(row.archived_at) if row.archived_at else None,
    )
