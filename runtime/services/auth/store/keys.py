"""API keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, DateTime, MetaData, String, Table, Text, func, insert, select, update

from runtime.services.auth.ports import ApiKey
from runtime.storage.rows import Exact, utc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

metadata = MetaData()

keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("prefix", String(20), nullable=False),
    Column("digest", String(200), nullable=False),
    Column("name", String(200), nullable=False),
    Column("owner", String(200), nullable=False, index=True),
    Column("scopes", Text, nullable=False),
    Column("rate", String(40)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("used_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("credits", Exact),
)


async def add(connection: AsyncConnection, key: ApiKey, digest: str) -> None:
    row = {
        "id": key.id,
        "prefix": key.prefix,
        "digest": digest,
        "name": key.name,
        "owner": key.owner,
        "scopes": " ".join(key.scopes),
        "rate": key.rate,
        "created_at": key.created_at,
        "created_by": key.created_by,
        "expires_at": key.expires_at,
        "credits": key.credits,
    }
    await connection.execute(insert(keys).values(row))


async def find(connection: AsyncConnection, id_: str, *, lock: bool = False) -> tuple[ApiKey, str] | None:
    """A key and the digest of its secret; locked, nobody else changes it until the transaction ends."""
    query = select(keys).where(keys.c.id == id_)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    return (_key(row), row.digest) if row else None


async def page(
    connection: AsyncConnection, *, owner: str | None, starts_with: str, before: str | None, most: int
) -> list[ApiKey]:
    """Keys, the newest first; of one owner, or of everybody."""
    query = select(keys).order_by(keys.c.created_at.desc(), keys.c.id.desc()).limit(most)
    if owner is not None:
        query = query.where(keys.c.owner == owner)
    if starts_with:
        query = query.where(func.substr(keys.c.prefix.concat(keys.c.id), 1, len(starts_with)) == starts_with)
    if before is not None:
        last = select(keys.c.created_at).where(keys.c.id == before).scalar_subquery()
        query = query.where((keys.c.created_at < last) | ((keys.c.created_at == last) & (keys.c.id < before)))
    return [_key(row) for row in await connection.execute(query)]


async def revoke(connection: AsyncConnection, id_: str) -> bool:
    """Revokes a key; false where it was already."""
    change = update(keys).where(keys.c.id == id_, keys.c.revoked_at.is_(None)).values(revoked_at=datetime.now(UTC))
    return (await connection.execute(change)).rowcount == 1


async def of_owner(connection: AsyncConnection, owner: str) -> list[str]:
    """The ids of an owner's keys that are not revoked."""
    query = select(keys.c.id).where(keys.c.owner == owner, keys.c.revoked_at.is_(None))
    return list((await connection.execute(query)).scalars())


async def used(connection: AsyncConnection, times: Mapping[str, float]) -> None:
    """Notes when keys were last used.

    Args:
        times: Unix time by key.
    """
    for id_, at in times.items():
        moment = datetime.fromtimestamp(at, UTC)
        await connection.execute(update(keys).where(keys.c.id == id_).values(used_at=moment))


async def count(connection: AsyncConnection) -> int:
    """How many keys are not revoked."""
    query = select(func.count()).select_from(keys).where(keys.c.revoked_at.is_(None))
    return (await connection.execute(query)).scalar_one()


def _key(row: Any) -> ApiKey:
    return ApiKey(
        row.id,
        row.prefix,
        row.name,
        row.owner,
        tuple(row.scopes.split()),
        row.rate,
        utc(row.created_at),
        row.created_by,
        utc(row.expires_at) if row.expires_at else None,
        utc(row.used_at) if row.used_at else None,
        utc(row.revoked_at) if row.revoked_at else None,
        row.credits,
    )
