"""Push subscriptions in the database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select, update

from runtime.services.notifications.ports import PushSubscription
from runtime.services.notifications.store.tables import push_subscriptions as table
from runtime.storage.rows import put_all, utc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from runtime.services.notifications.devices import Asked


async def put(connection: AsyncConnection, id_: str, user: str, asked: Asked, key: str) -> None:
    """Keeps a subscription; an endpoint that there was belongs to the last user who subscribed with it."""
    row = {
        "id": id_, "user": user, "endpoint": asked.endpoint, "p256dh": asked.p256dh, "auth": asked.auth,
        "vapid_key": key, "device": asked.device[:200], "created_at": datetime.now(UTC), "used_at": None,
        "expires_at": asked.expires_at,
    }  # fmt: skip
    await put_all(connection, table, [row])


async def keep_newest(connection: AsyncConnection, user: str, most: int) -> None:
    """Removes all of a user's subscriptions but the newest."""
    query = select(table.c.id).where(table.c.user == user).order_by(table.c.created_at.desc(), table.c.id)
    old = list((await connection.execute(query.offset(most).limit(most))).scalars())
    if old:
        await connection.execute(delete(table).where(table.c.id.in_(old)))


async def of_user(connection: AsyncConnection, user: str) -> list[PushSubscription]:
    query = select(table).where(table.c.user == user).order_by(table.c.created_at, table.c.id)
    return [_of(row) for row in (await connection.execute(query)).mappings()]


async def several(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, PushSubscription]:
    """Those of the subscriptions that there are."""
    if not ids:
        return {}
    rows = await connection.execute(select(table).where(table.c.id.in_(ids)))
    return {row["id"]: _of(row) for row in rows.mappings()}


async def by_key(connection: AsyncConnection) -> dict[str, int]:
    """How many subscriptions were made with each key."""
    query = select(table.c.vapid_key, func.count().label("number")).group_by(table.c.vapid_key)
    return {row.vapid_key: row.number for row in await connection.execute(query.order_by(table.c.vapid_key))}


async def remove(connection: AsyncConnection, user: str, id_: str) -> bool:
    which = (table.c.user == user) & (table.c.id == id_)
    return (await connection.execute(delete(table).where(which))).rowcount == 1


async def used(connection: AsyncConnection, ids: Sequence[str], now: datetime) -> None:
    """Notes that push services have taken messages for subscriptions."""
    if ids:
        await connection.execute(update(table).where(table.c.id.in_(ids)).values(used_at=now))


def _of(row: Any) -> PushSubscription:
    return PushSubscription(
        row["id"], row["user"], row["endpoint"], row["p256dh"], row["auth"], row["vapid_key"], row["device"],
        utc(row["created_at"]), *(utc(row[name]) if row[name] else None for name in ("used_at", "expires_at")),
    )  # fmt: skip
