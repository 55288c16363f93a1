"""Billing: what moves the credits of accounts — the operator, signed payments, and events of work that was done."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import anyio

from runtime.errors import Fault, Invalid, Pointer
from runtime.health import Health
from runtime.services.billing import store
from runtime.services.billing.amounts import exact, parse, positive, show
from runtime.services.billing.holdings import USED, HeldLedger, used
from runtime.services.billing.ledger import OVERDRAWN, overdrawn
from runtime.services.billing.payments import Payments
from runtime.services.billing.ports import Entry, Posting
from runtime.services.events.ports import NewEvent

if TYPE_CHECKING:
    from runtime.services.billing.spec import BillingSpec
    from runtime.services.events.ports import Event, Events
    from runtime.services.outbox.ports import Inbox, Transaction, Transactions
    from runtime.storage.database import Database

logger = logging.getLogger("runtime.billing")

PAYMENT: Final = "payment.received"
LONGEST_TEXT: Final = 500
LATE: Final = timedelta(days=7)
"""For how long a reservation can be settled after its time is over, and a callback's event is known."""
PRUNE: Final = 3600.0
PROBE_LIMIT: Final = 0.8


class Billing(HeldLedger):
    """Implements the port `Billing`.

    Args:
        spec: the `billing` section.
        database: where the ledger is, for reads.
        transactions: where it writes, its events too.
        inbox: what makes each callback count once.
        events: the bus, which says what its stream takes.

    Raises at `start`:
        Fault: the stream does not take what it would publish.
    """

    def __init__(
        self, spec: BillingSpec, database: Database, transactions: Transactions, inbox: Inbox, events: Events
    ) -> None:
        super().__init__(database, transactions, spec.currency)
        self._stream = spec.stream
        self._inbox = inbox
        self._events = events
        self._payments = Payments(spec.processors, spec.currency)

    # As a component

    async def start(self) -> None:
        try:
            self._events.check(self._stream, NewEvent(PAYMENT, self._paid("a", Decimal(1), "p", "i")))
        except Fault as error:
            raise Fault(
                f'billing: the stream "{self._stream}" does not take its events: {error.message}',
                remedy=f"Declare `{PAYMENT}` in events.streams.{self._stream}.events, without a schema of its own.",
            ) from error
        self._overdrawn_to = self._taking(NewEvent(OVERDRAWN, overdrawn("a", Decimal(-1), self.currency)))
        self._used_to = self._taking(NewEvent(USED, used("a", Decimal(1), self.currency, "ai.chat", "call")))

    def _taking(self, event: NewEvent) -> str | None:
        """The stream, where the spec wants such events."""
        try:
            self._events.check(self._stream, event)
        except Fault:
            return None
        return self._stream

    async def watch(self) -> None:
        """Removes reservations that nobody will settle any more."""
        while True:
            try:
                async with self._transactions.transaction() as tx:
                    await store.forget(tx.connection, datetime.now(UTC) - LATE)
            except store.AWAY as error:
                logger.warning("old reservations could not be removed: %s", type(error).__name__)
            await asyncio.sleep(PRUNE)

    async def stop(self) -> None:
        """Nothing to do: all of it is in the database."""

    async def health(self) -> Health:
        try:
            with anyio.fail_after(PROBE_LIMIT):
                async with self._database.reading() as connection:
                    accounts, negative = await store.figures(connection)
        except store.AWAY as error:
            return Health("degraded", f"the database does not answer ({type(error).__name__})")
        return Health(details={"accounts": accounts, "negative": negative, "processors": self._payments.names})

    # What moves credits

    async def post(self, posting: Posting) -> Entry:
        amount = exact(posting.amount)
        if posting.kind == "usage" or not amount or (amount < 0 and posting.kind != "adjustment"):
            raise Invalid(
                f"a {posting.kind} of {show(amount)} cannot be entered",
                errors=[Pointer("/amount", "above zero; of an adjustment also below")],
                remedy="Take credits by an adjustment below zero.",
            )
        async with self._transactions.transaction() as tx:
            entry, new = await self.write(tx, posting, strict=True)
            if new and posting.kind == "purchase":
                await self._tell_paid(tx, entry, "operator")
            return entry

    async def used(self, event: Event, transaction: Transaction) -> None:
        data = event.data
        if data.get("currency", self.currency) != self.currency:
            raise Invalid(f"credits are in {self.currency}, this event is in {data['currency']}")
        amount = positive(parse(str(data.get("amount", "")), "/data/amount"))
        account = data.get("account")
        if not isinstance(account, str):
            raise Invalid("the event names no account", errors=[Pointer("/data/account", "missing")])
        reason, reference = (_short(data.get(name)) for name in ("reason", "reference"))
        posting = Posting(account, "usage", -amount, f"event:{event.id}", reason, reference)
        await self.write(transaction, posting, strict=False)

    async def callback(self, processor: str, signature: str | None, body: bytes) -> str:
        received = self._payments.read(processor, signature, body)
        payment = received.payment
        if payment is None:
            return "ignored"
        async with self._inbox.once(f"callback:{processor}", received.event, LATE.total_seconds()) as tx:
            if tx is None:
                return "known"
            operation = f"payment:{processor}:{payment.id}"
            posting = Posting(payment.account, "purchase", payment.amount, operation, None, payment.id)
            entry, new = await self.write(tx, posting, strict=False)
            if new:
                await self._tell_paid(tx, entry, processor)
            return "recorded" if new else "known"

    async def _tell_paid(self, tx: Transaction, entry: Entry, processor: str) -> None:
        data = self._paid(entry.account, entry.amount, processor, entry.reference or entry.operation)
        await tx.publish(self._stream, PAYMENT, data, key=entry.account, id=f"credits:{entry.operation}")

    def _paid(self, account: str, amount: Decimal, processor: str, reference: str) -> dict[str, str]:
        return {
            "account": account,
            "amount": show(amount),
            "currency": self.currency,
            "processor": processor,
            "reference": reference,
        }


def _short(value: Any) -> str | None:
    return str(value)[:LONGEST_TEXT] if value is not None else None
