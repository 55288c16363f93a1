"""Sessions of browsers, the accounts in them, and their refresh tokens."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Column, DateTime, MetaData, String, Table, delete, func, insert, select, update

from runtime.storage.rows import add as add_row
from runtime.storage.rows import utc

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

metadata = MetaData()

sessions = Table(
    "auth_sessions",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("current", String(40), nullable=False),
    Column("csrf", String(64), nullable=False),
    Column("agent", String(400), nullable=False),
    Column("first_address", String(100), nullable=False),
    Column("last_address", String(100), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("used_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
)

members = Table(
    "auth_session_users",
    metadata,
    Column("session", String(40), primary_key=True),
    Column("user", String(40), primary_key=True, index=True),
    Column("added_at", DateTime(timezone=True), nullable=False),
)

tokens = Table(
    "auth_refresh_tokens",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("session", String(40), nullable=False, index=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("replaced_at", DateTime(timezone=True)),
    Column("child", String(64)),
    Column("salt", String(64)),
)


class Row(NamedTuple):
    """A session.

    Args:
        current: the id of the user that it acts for.
        csrf: what a page of ours sends along with each change.
        users: the ids of all its accounts, in the order in which they came.
    """

    id: str
    current: str
    csrf: str
    agent: str
    first_address: str
    last_address: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime
    users: tuple[str, ...]


class Refresh(NamedTuple):
    """A refresh token.

    Args:
        replaced_at: when it was used; None where it was not.
        salt: from which, with the token itself, the successor is made again.
        last: whether its successor was not used, or it was not itself.
    """

    session: str
    replaced_at: datetime | None
    salt: str | None
    last: bool


async def add(connection: AsyncConnection, row: Row) -> None:
    values = row._asdict()
    users = values.pop("users")
    await connection.execute(insert(sessions).values(values))
    now = datetime.now(UTC)
    await connection.execute(insert(members), [{"session": row.id, "user": user, "added_at": now} for user in users])


async def find(connection: AsyncConnection, id_: str, *, lock: bool = False) -> Row | None:
    """A session that is not over; locked, nobody else changes it until the transaction ends."""
    query = select(sessions).where(sessions.c.id == id_)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None or utc(row.expires_at) <= datetime.now(UTC):
        return None
    chosen = select(members.c.user).where(members.c.session == id_).order_by(members.c.added_at, members.c.user)
    return _row(row, tuple((await connection.execute(chosen)).scalars()))


async def of_user(connection: AsyncConnection, user: str) -> list[Row]:
    """The sessions that an account is signed in to, the one used last first."""
    query = (
        select(sessions)
        .join(members, members.c.session == sessions.c.id)
        .where(members.c.user == user, sessions.c.expires_at > datetime.now(UTC))
        .order_by(sessions.c.used_at.desc())
    )
    return [_row(row, (user,)) for row in await connection.execute(query)]


async def leave(connection: AsyncConnection, id_: str, user: str) -> None:
    """Signs an account out of a session."""
    await connection.execute(delete(members).where(members.c.session == id_, members.c.user == user))


async def change(connection: AsyncConnection, id_: str, **values: Any) -> None:
    """Changes columns of a session."""
    await connection.execute(update(sessions).where(sessions.c.id == id_).values(**values))


async def remove(connection: AsyncConnection, id_: str) -> bool:
    """Ends a session with all its tokens; false where it has ended already."""
    removed = (await connection.execute(delete(sessions).where(sessions.c.id == id_))).rowcount == 1
    await connection.execute(delete(tokens).where(tokens.c.session == id_))
    await connection.execute(delete(members).where(members.c.session == id_))
    return removed


async def add_token(connection: AsyncConnection, digest: str, session: str) -> bool:
    """Keeps a refresh token; false where it is there."""
    return await add_row(connection, tokens, {"digest": digest, "session": session, "created_at": datetime.now(UTC)})


async def token(connection: AsyncConnection, digest: str) -> Refresh | None:
    """A refresh token and what became of its successor."""
    child = tokens.alias("child")
    last = tokens.c.child.is_(None) | (child.c.digest.is_not(None) & child.c.replaced_at.is_(None))
    query = (
        select(tokens.c.session, tokens.c.replaced_at, tokens.c.salt, last.label("last"))
        .outerjoin(child, child.c.digest == tokens.c.child)
        .where(tokens.c.digest == digest)
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    return Refresh(row.session, utc(row.replaced_at) if row.replaced_at else None, row.salt, bool(row.last))


async def replace(connection: AsyncConnection, digest: str, child: str, salt: str, at: datetime) -> bool:
    """Uses a refresh token; false where another was first."""
    which = (tokens.c.digest == digest) & tokens.c.replaced_at.is_(None)
    change = update(tokens).where(which).values(replaced_at=at, child=child, salt=salt)
    return (await connection.execute(change)).rowcount == 1


async def over(connection: AsyncConnection) -> list[str]:
    """The ids of sessions that are over, a few hundred at a time."""
    query = select(sessions.c.id).where(sessions.c.expires_at <= datetime.now(UTC)).limit(500)
    return list((await connection.execute(query)).scalars())


async def count(connection: AsyncConnection) -> int:
    query = select(func.count()).select_from(sessions).where(sessions.c.expires_at > datetime.now(UTC))
    return (await connection.execute(query)).scalar_one()


def _row(row: Any, users: tuple[str, ...]) -> Row:
    return Row(
        row.id,
        row.current,
        row.csrf,
        row.agent,
        row.first_address,
        row.last_address,
        utc(row.created_at),
        utc(row.used_at),
        utc(row.expires_at),
        users,
    )
