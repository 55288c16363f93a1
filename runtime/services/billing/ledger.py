"""The ledger of credits: append-only entries, an exact balance, and reservations for work that runs.

Every change of an account happens in one transaction that holds the account's row, so that calls at once, on any
number of instances, are made one after another.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from runtime.errors import Conflict, InsufficientCredit, Invalid, NotFound, Pointer
from runtime.services.billing import store
from runtime.services.billing.amounts import LARGEST, exact, positive, show
from runtime.services.billing.ports import Balance, Entry, Posting, Reservation, Spender
from runtime.services.names import time_ordered

if TYPE_CHECKING:
    from runtime.services.outbox.ports import Transaction, Transactions
    from runtime.storage.database import Database

logger = logging.getLogger("runtime.billing")

OVERDRAWN: Final = "credits.overdrawn"
LONGEST_NAME: Final = 200
LONGEST_OPERATION: Final = 255
LONGEST_RESERVATION: Final = 86_400.0


class Ledger:
    """Implements the port `Credits`.

    Args:
        database: where the ledger is, for reads.
        transactions: where it writes.
        currency: of all amounts.
        stream: where it tells of an account that falls below zero, by `credits.overdrawn`; None for nowhere.
    """

    def __init__(
        self, database: Database, transactions: Transactions, currency: str, stream: str | None = None
    ) -> None:
        self.currency = currency
        self._database = database
        self._transactions = transactions
        self._overdrawn_to = stream

    # Reading

    async def balance(self, account: str) -> Balance:
        async with self._database.reading() as connection:
            return Balance(account, await store.balance(connection, account), await store.reserved(connection, account))

    async def entries(self, account: str, *, before: int | None = None, limit: int = 50) -> list[Entry]:
        async with self._database.reading() as connection:
            return await store.page(connection, account, before, limit)

    async def spent(self, spender: str) -> Decimal:
        async with self._database.reading() as connection:
            return await store.spent(connection, spender)

    # Reservations

    async def reserve(
        self,
        account: str,
        amount: Decimal,
        *,
        id: str | None = None,  # noqa: A002 - the port's word
        ttl: float = 600.0,
        spender: Spender | None = None,
    ) -> Reservation:
        _require_name("account", account)
        _require_name("id", id)
        if not 0 < ttl <= LONGEST_RESERVATION:
            raise Invalid(f"a reservation lasts at most a day, not {ttl:g} s")
        expires = datetime.now(UTC) + timedelta(seconds=ttl)
        by = spender.id if spender else None
        wanted = Reservation(id or time_ordered(), account, positive(amount), expires, by)
        async with self._transactions.transaction() as tx:
            balance = await store.lock(tx.connection, account)
            known = await store.reservation(tx.connection, wanted.id) if id else None
            if known is not None and (known.account, known.amount) == (account, amount):
                return known
            if known is not None or (id and await store.entry(tx.connection, _settling(id))):
                raise Conflict(f"the reservation {wanted.id} has been made for something else, or settled")
            await self._require(tx, account, balance, amount)
            await self._require_within(tx, account, spender, amount)
            if not await store.reserve(tx.connection, wanted):  # of another account, at the same moment
                raise Conflict(f"the reservation {wanted.id} has been made for something else")
            return wanted

    async def settle(
        self, reservation: str, amount: Decimal, *, reason: str | None = None, reference: str | None = None
    ) -> Entry | None:
        cost = exact(amount)
        if cost < 0:
            raise Invalid(f"work cannot cost {show(cost)}", remedy="Give nothing or more.")
        async with self._transactions.transaction() as tx:
            known = await store.reservation(tx.connection, reservation)
            if known is not None:
                await store.lock(tx.connection, known.account)
                known = await store.reservation(tx.connection, reservation)  # another may have ended it meanwhile
            if known is None:
                settled = await store.entry(tx.connection, _settling(reservation))
                if settled is None:
                    raise NotFound(f'no reservation "{reservation[:100]}"', remedy="It may have been released.")
                return settled
            entry = None
            if cost:
                posting = Posting(known.account, "usage", -cost, _settling(reservation), reason, reference)
                entry, new = await self.write(tx, posting, strict=False)
                if new and known.spender is not None:
                    await store.spend(tx.connection, known.spender, cost)
            await store.release(tx.connection, reservation)
            return entry

    async def release(self, reservation: str) -> None:
        async with self._transactions.transaction() as tx:
            await store.release(tx.connection, reservation)

    # Entries

    async def charge(
        self,
        account: str,
        amount: Decimal,
        *,
        operation: str,
        reason: str | None = None,
        reference: str | None = None,
        spender: Spender | None = None,
    ) -> Entry:
        posting = Posting(account, "usage", -positive(amount), f"charge:{operation}", reason, reference)
        async with self._transactions.transaction() as tx:
            entry, new = await self.write(tx, posting, strict=True)
            if new and spender is not None:
                await self._require_within(tx, account, spender, amount)
                await store.spend(tx.connection, spender.id, amount)
            return entry

    async def write(self, tx: Transaction, posting: Posting, *, strict: bool) -> tuple[Entry, bool]:
        """Writes an entry in a transaction.

        Args:
            strict: refuse a debit of more than is available; else it is recorded, for the work was done.

        Returns:
            The entry of the operation, and whether it is new.

        Raises:
            InsufficientCredit: see `strict`.
            Conflict: the operation has been used for something else.
            Invalid: the balance would become too large to hold.
        """
        _require_name("account", posting.account)
        _require_name("operation", posting.operation, LONGEST_OPERATION)
        before = await store.lock(tx.connection, posting.account)
        if known := await store.entry(tx.connection, posting.operation):
            return _same(known, posting), False
        if strict and posting.amount < 0:
            await self._require(tx, posting.account, before, -posting.amount)
        after = before + posting.amount
        if abs(after) >= LARGEST:
            raise Invalid(f"the balance of {posting.account} would become too large to hold")
        if not await store.append(tx.connection, posting, after):  # of another account, at the same moment
            raise Conflict(f"the operation {posting.operation} has been used for something else")
        if after < 0 <= before:
            await self._tell_overdrawn(tx, posting.account, after)
        entry = await store.entry(tx.connection, posting.operation)
        assert entry is not None  # noqa: S101 - written a line above
        return entry, True

    async def _tell_overdrawn(self, tx: Transaction, account: str, balance: Decimal) -> None:
        logger.warning("the account %s is below zero: %s %s", account, show(balance), self.currency)
        if self._overdrawn_to:
            data = overdrawn(account, balance, self.currency)
            await tx.publish(self._overdrawn_to, OVERDRAWN, data, key=account)

    async def _require(self, tx: Transaction, account: str, balance: Decimal, amount: Decimal) -> None:
        available = balance - await store.reserved(tx.connection, account)
        if amount > available:
            raise InsufficientCredit(
                f"{show(amount)} {self.currency} are needed, {show(max(available, Decimal(0)))} are available",
                remedy="Buy credits, or wait until running work has ended.",
            )

    async def _require_within(self, tx: Transaction, account: str, spender: Spender | None, amount: Decimal) -> None:
        """Refuses what is more than a spender may spend; its account is locked."""
        if spender is None:
            return
        taken = await store.spent(tx.connection, spender.id) + await store.reserved_by(
            tx.connection, spender.id, account
        )
        if taken + amount > spender.most:
            left = show(max(spender.most - taken, Decimal(0)))
            raise InsufficientCredit(
                f"{show(amount)} {self.currency} are needed, {left} are left of the {show(spender.most)} that this key "
                "may spend",
                remedy="Use another key.",
            )


def overdrawn(account: str, balance: Decimal, currency: str) -> dict[str, str]:
    """The data of `credits.overdrawn`."""
    return {"account": account, "balance": show(balance), "currency": currency}


def _settling(reservation: str) -> str:
    return f"reservation:{reservation}"


def _same(known: Entry, posting: Posting) -> Entry:
    """The entry that an operation has, if it is the one that is wanted."""
    if (known.account, known.kind, known.amount) != (posting.account, posting.kind, posting.amount):
        raise Conflict(
            f"the operation {posting.operation} has been used for something else: "
            f"{known.kind} {show(known.amount)} of {known.account}",
            remedy="Give each operation an id of its own.",
        )
    return known


def _require_name(name: str, value: str | None, longest: int = LONGEST_NAME) -> None:
    if value is not None and not 0 < len(value) <= longest:
        raise Invalid(
            f"`{name}` has 1 to {longest} characters, this one has {len(value)}",
            errors=[Pointer(f"/{name}", f"1 to {longest} characters")],
        )
