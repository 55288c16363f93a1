"""What a round of the teller writes, and what it reads for it: rows, credits and budgets in one transaction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from runtime.services.ai import funds as funding
from runtime.services.ai.funds import Credit, Fund, KeyCredit, by_kind
from runtime.services.ai.nano import dollars, of
from runtime.services.ai.store import attempts, budgets
from runtime.services.ai.store.budgets import Window
from runtime.services.billing.ports import Draw, Spender, Spending
from runtime.services.names import time_ordered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runtime.services.ai.store.attempts import Row
    from runtime.services.billing.ports import Holdings
    from runtime.services.outbox.ports import Transaction

TTL: Final = 120.0
"""Seconds after which what a dead instance held can be had by others."""
ROWS: Final = 1000
"""Rows written at once."""


class Till:
    """The tables of attempts, credits and budgets, in transactions of the teller's.

    Args:
        credits: the accounts; None where the spec declares no billing.
        limit: what a budget's window may spend; None where the spec no longer declares the budget.
    """

    def __init__(
        self,
        credits: Holdings | None,  # noqa: A002 - the word of billing
        limit: Callable[[Window], int | None],
    ) -> None:
        self._credits = credits
        self._limit = limit

    async def write(self, tx: Transaction, rows: Sequence[Row]) -> dict[Fund, int]:
        """Adds rows; what those of them that are new take of each fund."""
        entries: dict[str, str] = {}
        for row in rows:
            account = next((name for name in row.funds if name.startswith("credit:")), None)
            row.entry = entries.setdefault(account, f"ai-{time_ordered()}") if account and row.charged else None
        taken: dict[Fund, int] = {}
        for start in range(0, len(rows), ROWS):
            some = rows[start : start + ROWS]
            new = await attempts.add(tx.connection, some)
            for row in some:
                if row.identity in new and row.charged:
                    for name in row.funds:
                        fund = funding.named(name)
                        taken[fund] = taken.get(fund, 0) + row.charged
        return taken

    async def lock(self, tx: Transaction, instance: str, funds: Iterable[Fund]) -> dict[Fund, int]:
        """What an instance may hold of each fund in all; always accounts first, so that no two wait for each other."""
        accounts, of_keys, windows = by_kind(funds)
        totals: dict[Fund, int] = {}
        if accounts and self._credits is not None:
            found = await self._credits.available(tx, instance, accounts)
            totals.update({Credit(account): of(amount) for account, amount in found.items()})
            spenders = {Spender(each.spender, dollars(each.most)): each.account for each in of_keys}
            left = await self._credits.left(tx, instance, spenders)
            totals.update({each: of(left[each.spender]) for each in of_keys})
        for window, stands in (await budgets.lock(tx.connection, windows, instance)).items():
            limit = self._limit(window)
            totals[window] = (limit if limit is not None else stands.spent) - stands.spent - stands.held
        return totals

    async def draw(
        self, tx: Transaction, instance: str, rows: Sequence[Row], funds: Mapping[Fund, tuple[int, int]]
    ) -> None:
        """Takes what was spent of funds and sets what is held of them: by fund, both amounts."""
        references: dict[str, list[Row]] = {}
        for row in rows:
            for name in row.funds:
                if row.entry and name.startswith("credit:"):
                    references.setdefault(name, []).append(row)
        draws, held, spendings = [], {}, []
        for fund, (taken, kept) in sorted(funds.items(), key=lambda item: funding.name(item[0])):
            if isinstance(fund, Credit) and taken:
                draws.append(_draft(fund.account, taken, kept, references[funding.name(fund)]))
            elif isinstance(fund, Credit):
                held[fund.account] = dollars(kept)
            elif isinstance(fund, KeyCredit):
                spendings.append(Spending(fund.spender, dollars(taken), dollars(kept)))
        if self._credits is not None:
            await self._credits.draw(tx, instance, draws, ttl=TTL)
            await self._credits.hold(tx, instance, held, ttl=TTL)
            await self._credits.spend(tx, instance, spendings, ttl=TTL)
        of_budgets = {fund: amounts for fund, amounts in funds.items() if isinstance(fund, Window)}
        if spent := {window: taken for window, (taken, _) in of_budgets.items() if taken}:
            await budgets.spend(tx.connection, spent)
        expires = datetime.now(UTC) + timedelta(seconds=TTL)
        kept_of = {window: kept for window, (_, kept) in of_budgets.items()}
        await budgets.hold(tx.connection, instance, kept_of, expires)

    async def abandon(self, tx: Transaction, instance: str) -> None:
        """Gives back all that an instance holds."""
        if self._credits is not None:
            await self._credits.abandon(tx, instance)
        await budgets.abandon(tx.connection, instance)


def _draft(account: str, taken: int, kept: int, rows: list[Row]) -> Draw:
    """What is entered for the rows of one account: of a single call its id, of several the entry's own."""
    calls = {row.call for row in rows}
    operations = {row.operation for row in rows}
    reason = f"ai.{operations.pop()}" if len(operations) == 1 else "ai"
    entry = str(rows[0].entry)
    return Draw(account, dollars(taken), dollars(kept), entry, reason, calls.pop() if len(calls) == 1 else entry)
