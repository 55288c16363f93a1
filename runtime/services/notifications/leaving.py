"""What goes with an account: its inbox, its settings, its browsers, and whatever still waited for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runtime.services.notifications.store import leaving

if TYPE_CHECKING:
    from runtime.services.outbox.ports import Transaction

AFTERWARDS: Final = 60.0
"""Seconds after which it is looked for once more: a page of an audience that was planned while the account was being
removed had found the user before, and wrote its rows after."""


class Leaving:
    """Removes what notifications keep of a user; implements `Belongings` of the accounts.

    Args:
        queue: whose jobs look once more.
    """

    def __init__(self, queue: str) -> None:
        self._queue = queue

    async def remove(self, tx: Transaction, user: str) -> None:
        await leaving.remove(tx.connection, user)
        await tx.enqueue(self._queue, {"work": "forget", "recipient": user}, delay=AFTERWARDS)
