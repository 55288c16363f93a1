"""A session as it stands, with its accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runtime.errors import Unauthenticated
from runtime.services.auth.store import sessions, users

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from runtime.services.auth.ports import User


class Standing(NamedTuple):
    """A session as it stands.

    Args:
        users: its accounts, in the order in which they came.
    """

    row: sessions.Row
    users: tuple[User, ...]


async def standing(connection: AsyncConnection, session: str) -> Standing:
    """A session and its accounts.

    Raises:
        Unauthenticated: it has ended.
    """
    row = await sessions.find(connection, session)
    if row is None or not row.users:
        raise ended()
    return Standing(row, await members(connection, row))


async def members(connection: AsyncConnection, row: sessions.Row) -> tuple[User, ...]:
    """The accounts of a session, in the order in which they came."""
    found = {user.id: user for user in await users.several(connection, row.users)}
    return tuple(found[id_] for id_ in row.users if id_ in found)


def ended(why: str = "") -> Unauthenticated:
    """The refusal of a session that is over."""
    return Unauthenticated(f"the session has ended{why}", remedy="Sign in again.")
