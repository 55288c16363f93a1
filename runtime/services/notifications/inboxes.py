"""The inboxes of users: read, put away, and followed as they grow."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from runtime.errors import NotFound
from runtime.services.names import earlier
from runtime.services.notifications.ports import InboxChange
from runtime.services.notifications.presence import RENEW
from runtime.services.notifications.store import deliveries, inbox

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from runtime.services.notifications.bell import Bell
    from runtime.services.notifications.figures import Figures
    from runtime.services.notifications.ports import InboxItem
    from runtime.services.notifications.presence import Presence
    from runtime.services.outbox.ports import Transactions
    from runtime.storage.database import Database

OVERLAP: Final = 5.0
"""Seconds that are looked at again: an item may be stored a little after one that was made after it."""
PAGE: Final = 100
MOST_REMEMBERED: Final = 2_000
MOST_CHANGED: Final = 500
"""Items that a follower is told of together; of more, it is told of the last, and how many are left unread."""
DONE: Final = ("read", "archived")


class Inboxes:
    """What users find in the application.

    Args:
        database: for reads.
        transactions: for what changes.
    """

    def __init__(
        self, database: Database, transactions: Transactions, presence: Presence, bell: Bell, figures: Figures
    ) -> None:
        self._database = database
        self._transactions = transactions
        self._presence = presence
        self._bell = bell
        self._figures = figures

    async def inbox(
        self, user: str, *, before: str | None = None, most: int = 50, unread: bool = False, archived: bool = False
    ) -> list[InboxItem]:
        async with self._database.reading() as connection:
            return await inbox.page(connection, user, before, most, unread=unread, archived=archived)

    async def unread(self, user: str) -> int:
        async with self._database.reading() as connection:
            return await inbox.unread(connection, user)

    async def read(self, user: str, id_: str | None) -> int:
        async with self._transactions.transaction() as tx:
            if id_ is not None and await inbox.find(tx.connection, user, id_) is None:
                raise _missing()
            found = await inbox.read(tx.connection, user, id_)
            pairs = [(notification, user) for notification in found]
            await deliveries.inbox_moves(tx.connection, pairs, "read", ("sent", "delivered"))
        if found:
            await self._bell.ring([user])
        self._figures.ended("in_app", "read", len(found))
        return len(found)

    async def archive(self, user: str, id_: str) -> None:
        async with self._transactions.transaction() as tx:
            if await inbox.find(tx.connection, user, id_) is None:
                raise _missing()
            await inbox.archive(tx.connection, user, id_)
        await self._bell.ring([user])

    async def follow(self, user: str, after: str | None) -> AsyncGenerator[InboxItem | InboxChange | str]:
        """A user's inbox as it grows and is worked off.

        Whoever comes back with a cursor is given the items of the `OVERLAP` before it again, should there be any: an
        item has an id to be known by.
        """
        async with self._database.reading() as connection:
            cursor = after if after is not None else await inbox.newest(connection, user)
            taken = set() if after is not None else {item.id for item in await self._since(connection, user, cursor)}
            changes = await self._changes(connection, user)
        async with self._bell.waiting(user) as rung, self._presence.here(user) as renew:
            yield cursor
            while True:
                rung.clear()
                async with self._database.reading() as connection:
                    found = await self._since(connection, user, cursor)
                    known, changes = changes, await self._changes(connection, user)
                    unread = await inbox.unread(connection, user) if changes - known else 0
                new = [item for item in found if item.id not in taken]
                for item in new:
                    yield item
                    cursor = max(cursor, item.id)
                    taken.add(item.id)
                if fresh := changes - known:
                    read, archived = [sorted(id_ for id_, what in fresh if what == each) for each in DONE]
                    yield InboxChange(read, archived, unread)
                if new:
                    await self._taken(user, new)
                    taken = set(sorted(taken)[-MOST_REMEMBERED:])
                    continue
                try:
                    async with asyncio.timeout(RENEW):
                        await rung.wait()
                except TimeoutError:
                    await renew()

    async def _changes(self, connection: AsyncConnection, user: str) -> set[tuple[str, str]]:
        """What was done a moment ago: it may have been stored a little after what was done after it."""
        since = datetime.now(UTC) - timedelta(seconds=RENEW + OVERLAP)
        found = await inbox.changed(connection, user, since, MOST_CHANGED)
        return {(id_, what) for what, ids in zip(DONE, found, strict=True) for id_ in ids}

    async def _since(self, connection: AsyncConnection, user: str, cursor: str) -> list[InboxItem]:
        begin = earlier(cursor, OVERLAP) if cursor else ""
        found = await inbox.after(connection, user, begin, PAGE)
        while len(found) % PAGE == 0 and found and found[-1].id <= cursor:
            more = await inbox.after(connection, user, found[-1].id, PAGE)
            if not more:
                break
            found += more
        return found

    async def _taken(self, user: str, items: Sequence[InboxItem]) -> None:
        """Notes that an open connection has items."""
        async with self._transactions.transaction() as tx:
            new = await inbox.seen(tx.connection, user, [item.id for item in items])
            pairs = [(notification, user) for notification in new]
            await deliveries.inbox_moves(tx.connection, pairs, "delivered", ("sent",))
        self._figures.ended("in_app", "delivered", len(new))


def _missing() -> NotFound:
    return NotFound("this is not in your inbox", remedy="List it: GET /v1/notifications.")
