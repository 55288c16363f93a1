"""Credits that are held in advance, for work that costs little and comes often: many accounts in one transaction."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from runtime.services.billing import store
from runtime.services.billing.amounts import exact, show
from runtime.services.billing.ledger import Ledger
from runtime.services.billing.ports import Posting, Reservation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from runtime.services.billing.ports import Draw, Spender, Spending
    from runtime.services.outbox.ports import Transaction

USED: Final = "credits.used"


class HeldLedger(Ledger):
    """Implements the port `Holdings`: what is held stands in the table of reservations, one row of each account and one
    of each spender."""

    _used_to: str | None = None
    """The stream that is told of draws; None for nowhere."""

    async def available(self, transaction: Transaction, holder: str, accounts: Sequence[str]) -> dict[str, Decimal]:
        if not accounts:
            return {}
        balances = await store.lock_all(transaction.connection, accounts)
        own = [_holding(holder, account) for account in accounts]
        reserved = await store.reserved_of(transaction.connection, accounts, own)
        return {account: balances[account] - reserved[account] for account in accounts}

    async def hold(
        self, transaction: Transaction, holder: str, amounts: Mapping[str, Decimal], *, ttl: float = 600.0
    ) -> None:
        expires = datetime.now(UTC) + timedelta(seconds=ttl)
        held = [
            Reservation(_holding(holder, account), account, exact(amount), expires)
            for account, amount in sorted(amounts.items())
        ]
        if held:
            await store.hold(transaction.connection, held)

    async def draw(self, transaction: Transaction, holder: str, draws: Sequence[Draw], *, ttl: float = 600.0) -> None:
        if not draws:
            return
        balances = await store.lock_all(transaction.connection, [draw.account for draw in draws])
        known = await store.operations(transaction.connection, [_operation(draw) for draw in draws])
        postings = [
            Posting(draw.account, "usage", -exact(draw.amount), _operation(draw), draw.reason, draw.reference)
            for draw in draws
            if draw.amount and _operation(draw) not in known
        ]
        after = {posting.account: balances[posting.account] + posting.amount for posting in postings}
        if postings:
            await store.append_all(transaction.connection, postings, after)
        await self.hold(transaction, holder, {draw.account: draw.keep for draw in draws}, ttl=ttl)
        for posting in postings:
            await self._tell_used(transaction, posting)
            if after[posting.account] < 0 <= balances[posting.account]:
                await self._tell_overdrawn(transaction, posting.account, after[posting.account])

    async def left(self, transaction: Transaction, holder: str, spenders: Mapping[Spender, str]) -> dict[str, Decimal]:
        found = {}
        for spender, account in spenders.items():
            spent = await store.spent(transaction.connection, spender.id)
            own = _holding(holder, spender.id)
            held = await store.reserved_by(transaction.connection, spender.id, account, without=own)
            found[spender.id] = spender.most - spent - held
        return found

    async def spend(
        self, transaction: Transaction, holder: str, spendings: Sequence[Spending], *, ttl: float = 600.0
    ) -> None:
        expires = datetime.now(UTC) + timedelta(seconds=ttl)
        for each in spendings:
            if each.amount:
                await store.spend(transaction.connection, each.spender, exact(each.amount))
        # A spender's holding stands under its own name: what is held of its account is another, and counted there.
        held = [
            Reservation(_holding(holder, each.spender), each.spender, exact(each.keep), expires, each.spender)
            for each in spendings
        ]
        if held:
            await store.hold(transaction.connection, held)

    async def abandon(self, transaction: Transaction, holder: str) -> None:
        await store.abandon(transaction.connection, f"held:{holder}:")

    async def _tell_used(self, transaction: Transaction, posting: Posting) -> None:
        if self._used_to:
            data = used(posting.account, -posting.amount, self.currency, posting.reason or "", posting.reference)
            event = posting.operation.removeprefix("event:")
            await transaction.publish(self._used_to, USED, data, key=posting.account, id=event)


def used(account: str, amount: Decimal, currency: str, reason: str, reference: str | None = None) -> dict[str, str]:
    """The data of `credits.used`."""
    data = {"account": account, "amount": show(amount), "currency": currency, "reason": reason}
    return {**data, "reference": reference} if reference else data


def _operation(draw: Draw) -> str:
    """What the subscriber `billing.usage` would call the entry of the event that tells of a draw."""
    return f"event:{draw.id}"


def _holding(holder: str, account: str) -> str:
    return f"held:{holder}:{hashlib.blake2b(account.encode(), digest_size=16).hexdigest()}"
