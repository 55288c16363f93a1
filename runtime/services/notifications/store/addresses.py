"""What is known against addresses, which devices users have, and who follows which topic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from runtime.services.notifications.channels.port import KINDS
from runtime.services.notifications.store.tables import addresses, keys, push_subscriptions, topics
from runtime.storage.rows import add

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from runtime.services.notifications.channels.port import Kind


async def suppressed(connection: AsyncConnection, found: Sequence[str]) -> set[tuple[Kind, str]]:
    """Those of the addresses that get nothing more, with their kind."""
    if not found:
        return set()
    query = select(addresses.c.kind, addresses.c.address).where(
        addresses.c.kind.in_(KINDS.values()),  # the key begins with it
        addresses.c.address.in_(found),
        addresses.c.suppressed_at.is_not(None),
        or_(addresses.c.suppressed_until.is_(None), addresses.c.suppressed_until > datetime.now(UTC)),
    )
    return {(kind, address) for kind, address in await connection.execute(query)}


async def count_against(
    connection: AsyncConnection, kind: str, address: str, column: str, limit: int, reason: str, ttl: float | None
) -> bool:
    """Counts a bounce or a complaint; returns whether the address is suppressed now.

    Args:
        column: `bounces` or `complaints`.
        limit: how many suppress it.
        ttl: seconds for which; None for good.
    """
    now = datetime.now(UTC)
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    new = {"bounces": 0, "complaints": 0, column: 1, "reason": reason[:500], "updated_at": now}
    counted = {column: addresses.c[column] + 1, "reason": reason[:500], "updated_at": now}
    statement = insert(addresses).values(kind=kind, address=address, **new)
    statement = statement.on_conflict_do_update(index_elements=["kind", "address"], set_=counted)
    number = (await connection.execute(statement.returning(addresses.c[column]))).scalar_one()
    if number < limit:
        return False
    until = now + timedelta(seconds=ttl) if ttl is not None else None
    which = (addresses.c.kind == kind) & (addresses.c.address == address)
    await connection.execute(addresses.update().where(which).values(suppressed_at=now, suppressed_until=until))
    return True


async def absolve(connection: AsyncConnection, kind: str, address: str) -> bool:
    """Forgets what is known against an address."""
    which = (addresses.c.kind == kind) & (addresses.c.address == address)
    return (await connection.execute(delete(addresses).where(which))).rowcount == 1


async def devices(connection: AsyncConnection, users: Sequence[str]) -> dict[str, list[str]]:
    """The ids of the push subscriptions of users, by user."""
    query = (
        select(push_subscriptions.c.user, push_subscriptions.c.id)
        .where(
            push_subscriptions.c.user.in_(users),
            or_(push_subscriptions.c.expires_at.is_(None), push_subscriptions.c.expires_at > datetime.now(UTC)),
        )
        .order_by(push_subscriptions.c.created_at)
    )
    found: dict[str, list[str]] = {}
    for user, id_ in await connection.execute(query):
        found.setdefault(user, []).append(id_)
    return found


async def remove_device(connection: AsyncConnection, id_: str) -> None:
    await connection.execute(delete(push_subscriptions).where(push_subscriptions.c.id == id_))


async def subscribe(connection: AsyncConnection, topic: str, recipient: str) -> None:
    await add(connection, topics, {"topic": topic, "recipient": recipient, "created_at": datetime.now(UTC)})


async def leave(connection: AsyncConnection, topic: str, recipient: str) -> None:
    await connection.execute(delete(topics).where(topics.c.topic == topic, topics.c.recipient == recipient))


async def subscribers(connection: AsyncConnection, topic: str, after: str, most: int) -> list[str]:
    """Who follows a topic, in order."""
    query = select(topics.c.recipient).where(topics.c.topic == topic, topics.c.recipient > after)
    return list((await connection.execute(query.order_by(topics.c.recipient).limit(most))).scalars())


async def shared_key(connection: AsyncConnection, name: str, made: str) -> str:
    """A secret that all instances share: the one that was first made."""
    await add(connection, keys, {"name": name, "value": made})
    found: Any = (await connection.execute(select(keys.c.value).where(keys.c.name == name))).scalar_one()
    return str(found)
