"""Small changes that share a transaction: those that come while one is being committed go together into the next."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from runtime.services.outbox.ports import Transaction, Transactions

T = TypeVar("T")


class Commits(Generic[T]):
    """Writes changes, each whole, many at a time.

    Args:
        transactions: where they are written.
        change: writes some of them into a transaction.
    """

    def __init__(
        self, transactions: Transactions, change: Callable[[Transaction, Sequence[T]], Awaitable[None]]
    ) -> None:
        self._transactions = transactions
        self._change = change
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._turn = asyncio.Lock()

    async def write(self, what: T) -> None:
        """Makes a change; when this returns, it is committed.

        Raises:
            Whatever its transaction raises. One change that fails does not fail the others.
        """
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((what, mine))
        async with self._turn:
            if not mine.done():
                batch, self._waiting = self._waiting, []
                await self._together(batch)
        await mine

    async def _together(self, batch: list[tuple[T, asyncio.Future[None]]]) -> None:
        try:
            async with self._transactions.transaction() as tx:
                await self._change(tx, [what for what, _ in batch])
        except Exception as error:  # noqa: BLE001 - each is told its own
            if len(batch) == 1:
                if not batch[0][1].done():
                    batch[0][1].set_exception(error)
                return
            for each in batch:
                await self._together([each])
        except BaseException:  # whoever wrote for all was cancelled: the others write for themselves
            self._waiting = [each for each in batch if not each[1].done()] + self._waiting
            raise
        else:
            for _, done in batch:
                if not done.done():
                    done.set_result(None)
