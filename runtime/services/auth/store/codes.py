"""Single-use codes: one for each purpose and address at a time."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, DateTime, Integer, MetaData, String, Table, Text, delete, select, update

from runtime.storage.rows import put_all, utc

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

metadata = MetaData()

codes = Table(
    "auth_codes",
    metadata,
    Column("purpose", String(20), primary_key=True),
    Column("subject", String(320), primary_key=True),
    Column("user", String(40)),
    Column("digest", String(64), nullable=False),
    Column("data", Text),
    Column("tries", Integer, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
)


async def put(
    connection: AsyncConnection,
    purpose: str,
    subject: str,
    code: str,
    *,
    life: float,
    user: str | None,
    data: str | None = None,
) -> None:
    """Keeps a code in the place of the one before."""
    row = {
        "purpose": purpose,
        "subject": subject,
        "user": user,
        "digest": digest(code),
        "data": data,
        "tries": 0,
        "expires_at": datetime.now(UTC) + timedelta(seconds=life),
    }
    await put_all(connection, codes, [row])


async def take(connection: AsyncConnection, purpose: str, subject: str, code: str, most: int) -> Any:
    """Uses a code up; its row, or None where it is wrong, which counts as a try, or over.

    Args:
        most: wrong tries that a code survives.
    """
    which = (codes.c.purpose == purpose) & (codes.c.subject == subject)
    row = (await connection.execute(select(codes).where(which).with_for_update())).one_or_none()
    if row is None:
        return None
    right = hmac.compare_digest(row.digest, digest(code))
    over = utc(row.expires_at) <= datetime.now(UTC)
    if right or over or row.tries + 1 > most:
        await connection.execute(delete(codes).where(which))
    else:
        await connection.execute(update(codes).where(which).values(tries=codes.c.tries + 1))
    return row if right and not over else None


async def remove_of(connection: AsyncConnection, user: str, *purposes: str) -> None:
    """Removes those of an account; all, where no purpose is named."""
    which = codes.c.user == user
    await connection.execute(delete(codes).where(which & codes.c.purpose.in_(purposes) if purposes else which))


async def forget(connection: AsyncConnection) -> None:
    """Removes those that are over."""
    await connection.execute(delete(codes).where(codes.c.expires_at < datetime.now(UTC)))


def digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
