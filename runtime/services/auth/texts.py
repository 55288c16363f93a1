"""Text messages as jobs of the queue that delivers them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.services.outbox.ports import Transaction


class QueuedTexts:
    """Implements the port `TextMessages`.

    Args:
        queue: whose handler is `notifications.sms`.
    """

    def __init__(self, queue: str) -> None:
        self._queue = queue

    async def send(self, tx: Transaction, to: str, text: str) -> None:
        await tx.enqueue(self._queue, {"to": [to], "body": text})
