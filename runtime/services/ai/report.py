"""What was used, what it did cost, and what is left."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Unreachable
from runtime.services.ai import funds
from runtime.services.ai.store import budgets, usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.services.ai.books import Books
    from runtime.services.ai.store.usage import Sum

FIRST_DAY: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class BudgetLeft:
    """A budget of a caller, in the length of time that runs; amounts in nano-dollars.

    Args:
        reserved: what running calls may still take.
    """

    name: str
    scope: str
    limit: int
    spent: int
    reserved: int
    begins: datetime
    ends: datetime

    @property
    def left(self) -> int:
        """What a call may still reserve."""
        return max(0, self.limit - self.spent - self.reserved)


class Report:
    """Reads the books.

    Args:
        books: started.
    """

    def __init__(self, books: Books) -> None:
        self._books = books

    async def used(
        self,
        by: Sequence[str],
        only: Mapping[str, str],
        since: date,
        until: date,
        *,
        after: Sequence[Any] | None = None,
        limit: int = 50,
    ) -> list[Sum]:
        """Sums over attempts; the words are those of `store.usage.sums`. What has just ended counts.

        Raises:
            Unreachable: the database does not answer.
        """
        await self._settled()
        days = (since - FIRST_DAY).days, (until - FIRST_DAY).days
        async with self._books.database.reading() as connection:
            return await usage.sums(connection, by, only, days, after=after, limit=limit)

    async def budgets(self, user: str, key: str) -> list[BudgetLeft]:
        """The budgets that hold for a caller."""
        declared = self._books.spec.budgets
        windows = funds.windows(declared, user, key, time.time())
        if not windows:
            return []
        await self._settled()
        async with self._books.database.reading() as connection:
            stands = await budgets.standing(connection, windows)
        return [
            BudgetLeft(
                window.budget,
                declared[window.budget].scope,
                self._books.limit(window) or 0,
                stands[window].spent,
                stands[window].held,
                datetime.fromtimestamp(window.begins, UTC),
                datetime.fromtimestamp(window.ends, UTC),
            )
            for window in windows
        ]

    async def _settled(self) -> None:
        """Waits for what this instance has not written yet; while it cannot be written, what is there is told."""
        try:
            await self._books.teller.flush()
        except Unreachable:
            return
