"""Writes down what became of deliveries, and what follows from it: another try, a suppressed address, a lost device."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runtime.services.notifications.commits import Commits
from runtime.services.notifications.store import addresses, deliveries, push

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.notifications.declared import Declared
    from runtime.services.notifications.planning import Planner
    from runtime.services.notifications.store.deliveries import Outcome
    from runtime.services.outbox.ports import Transaction, Transactions


class Outcomes:
    """Writes outcomes: those that come together, in one transaction.

    Args:
        planner: makes the jobs of those that are tried again.
    """

    def __init__(self, declared: Declared, transactions: Transactions, planner: Planner) -> None:
        self._declared = declared
        self._planner = planner
        self._commits = Commits[deliveries.Outcome](transactions, self._write)

    async def write(self, outcome: Outcome) -> None:
        """Writes one; when this returns, it is committed."""
        await self._commits.write(outcome)

    async def _write(self, tx: Transaction, outcomes: Sequence[Outcome]) -> None:
        now = datetime.now(UTC)
        await deliveries.record(tx.connection, outcomes, now)
        for each in outcomes:
            if each.due_at is not None:
                await self._planner.enqueue(tx, each.delivery.kind, [each.delivery.id], each.due_at, now)
            elif each.receipt is not None:
                await self._follow(tx, each)
        pushed = {each.delivery.address for each in outcomes if each.delivery.kind == "push" and each.status == "sent"}
        await push.used(tx.connection, sorted(pushed), now)

    async def _follow(self, tx: Transaction, each: Outcome) -> None:
        """What an answer says of the address."""
        kind, address = each.delivery.kind, each.delivery.address
        match each.receipt.outcome if each.receipt is not None else None:
            case "bounced":
                limits = self._declared.spec.suppression
                await addresses.count_against(
                    tx.connection, kind, address, "bounces", limits.bounces, each.reason, limits.ttl
                )
            case "stopped":
                await addresses.count_against(tx.connection, kind, address, "complaints", 1, each.reason, None)
            case "gone" if kind == "push":
                await addresses.remove_device(tx.connection, address)
