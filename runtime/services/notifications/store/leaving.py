"""What there is of a recipient, removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select, update

from runtime.services.notifications.store.tables import (
    counts,
    deliveries,
    digest_items,
    inbox,
    preferences,
    push_subscriptions,
    topics,
    windows,
)

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

UNDER_WAY: Final = ("queued", "sending")


async def remove(connection: AsyncConnection, recipient: str) -> None:
    """Removes all but the receipts of what has gone out, which lose their addresses.

    What is known against an address stays: it gets nothing more, whoever has it next.
    """
    digests = select(windows.c.digest).where(windows.c.recipient == recipient)
    await connection.execute(delete(digest_items).where(digest_items.c.digest.in_(digests)))
    for table in (windows, inbox, preferences, counts, topics):
        await connection.execute(delete(table).where(table.c.recipient == recipient))
    await connection.execute(delete(push_subscriptions).where(push_subscriptions.c.user == recipient))
    mine = deliveries.c.recipient == recipient
    await connection.execute(delete(deliveries).where(mine, deliveries.c.status.in_(UNDER_WAY)))
    await connection.execute(update(deliveries).where(mine, deliveries.c.address != "").values(address=""))
