"""Text messages, as far as accounts need them: for the codes that prove a phone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from runtime.services.outbox.ports import Transaction


class TextMessages(Protocol):
    """Whoever sends text messages."""

    async def send(self, tx: Transaction, to: str, text: str) -> None:
        """Sends a message once the transaction is committed, and not otherwise.

        Args:
            to: the number in its international form (E.164), `+431234567`.
        """
        ...
