"""What other services keep of users, as far as accounts need to know: that it goes with the account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from runtime.services.outbox.ports import Transaction


class Belongings(Protocol):
    """What one service keeps of users."""

    async def remove(self, tx: Transaction, user: str) -> None:
        """Removes what is kept of a user, in the transaction that removes the account: both or neither."""
        ...
