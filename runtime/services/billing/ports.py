"""What other services may use of billing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Protocol

from runtime.services.outbox.ports import Transaction

Kind = Literal["purchase", "bonus", "refund", "adjustment", "usage"]
"""What moved the balance. `refund` gives credits back to an account; `adjustment` goes either way; `usage` takes."""


@dataclass(frozen=True, slots=True)
class Balance:
    """An account as it stands.

    Args:
        balance: the sum of its entries; below zero where work was done beyond it.
        reserved: what running work may still take.
    """

    account: str
    balance: Decimal
    reserved: Decimal

    @property
    def available(self) -> Decimal:
        """What may be reserved or charged."""
        return self.balance - self.reserved


@dataclass(frozen=True, slots=True)
class Spender:
    """Whoever spends an account's credits and may spend so many in all: an API key.

    Args:
        id: the caller's, `key:…`.
        most: over all its time.
    """

    id: str
    most: Decimal


@dataclass(frozen=True, slots=True)
class Posting:
    """An entry that is to be written.

    Args:
        amount: what is added to the balance; below zero for a debit. At most nine decimals.
        operation: names what the entry stands for: of several postings of one operation the first one counts.
        reason: `ai.chat`, `invoice 7`.
        reference: the id of what caused it: a job, a call, a payment.
    """

    account: str
    kind: Kind
    amount: Decimal
    operation: str
    reason: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the ledger, which is never changed; `balance` is the account's after it. Else as `Posting`."""

    id: int
    account: str
    kind: Kind
    amount: Decimal
    balance: Decimal
    operation: str
    reason: str | None
    reference: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Reservation:
    """An amount that is kept for running work until it is settled or released, or its time is over.

    Args:
        spender: the id of whoever's limit it counts against.
    """

    id: str
    account: str
    amount: Decimal
    expires_at: datetime
    spender: str | None = None


@dataclass(frozen=True, slots=True)
class Draw:
    """What was taken of a holding, and what of it stays.

    Args:
        amount: above zero, or nothing where only the holding changes.
        keep: what the holding is from now on; with nothing it ends.
        id: names the draw, which is entered once; it is the id of the event `credits.used` that tells of it.
        reason: `ai.chat`; an event has to have one.
        reference: the id of what caused it: a job, a call.
    """

    account: str
    amount: Decimal
    keep: Decimal
    id: str
    reason: str
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Spending:
    """What a spender took of its own limit, and what of it stays held; as `Draw`, which is entered of its account."""

    spender: str
    amount: Decimal
    keep: Decimal


class Holdings(Protocol):
    """Credits that an instance of a service holds in advance, for work that costs little and comes often.

    A holding is one reservation that grows and shrinks, one for each account. All of it happens in transactions of
    the holder's own, so that what was done and what is taken for it are written together or not at all.
    """

    currency: str

    async def available(self, transaction: Transaction, holder: str, accounts: Sequence[str]) -> dict[str, Decimal]:
        """What a holder may hold of each account in all; nobody else moves them until the transaction ends."""
        ...

    async def hold(
        self, transaction: Transaction, holder: str, amounts: Mapping[str, Decimal], *, ttl: float = 600.0
    ) -> None:
        """Sets what is held: more than before only of accounts that this transaction has asked for by `available`.

        Args:
            holder: the instance, at most 100 characters.
            ttl: seconds after which it no longer counts.
        """
        ...

    async def draw(self, transaction: Transaction, holder: str, draws: Sequence[Draw], *, ttl: float = 600.0) -> None:
        """Takes what work did cost, also below zero: it was done. Tells of each by `credits.used`, where the stream of
        billing has that type; the subscriber `billing.usage` knows such an event for one that is entered already.

        Args:
            draws: at most one of an account.
        """
        ...

    async def left(self, transaction: Transaction, holder: str, spenders: Mapping[Spender, str]) -> dict[str, Decimal]:
        """What a holder may hold in all of what each spender may still spend, by the spender's id.

        Args:
            spenders: each with its account, which this transaction has asked for by `available`.
        """
        ...

    async def spend(
        self, transaction: Transaction, holder: str, spendings: Sequence[Spending], *, ttl: float = 600.0
    ) -> None:
        """Counts what was spent against spenders' limits, also beyond them, and sets what is held of these: more than
        before only of spenders that this transaction has asked for by `left`.

        Args:
            spendings: at most one of a spender.
        """
        ...

    async def abandon(self, transaction: Transaction, holder: str) -> None:
        """Ends all that a holder holds."""
        ...


class Credits(Protocol):
    """Credits, for services whose work costs something.

    Reserve the most that the work may cost, do it, settle what it did cost:

        >>> reservation = await credits.reserve("ada", Decimal("0.50"))                    # doctest: +SKIP
        >>> await credits.settle(reservation.id, Decimal("0.0125"), reason="ai.chat")      # doctest: +SKIP
    """

    async def balance(self, account: str) -> Balance:
        """An account; one that was never moved has nothing."""
        ...

    async def reserve(
        self,
        account: str,
        amount: Decimal,
        *,
        id: str | None = None,  # noqa: A002 - the common word
        ttl: float = 600.0,
        spender: Spender | None = None,
    ) -> Reservation:
        """Keeps an amount for work that begins; calls at once, from any instance, never get more than there is.

        Args:
            id: of the reservation; the same one again gives the same reservation.
            ttl: seconds after which it no longer counts. Work that is settled up to a week
                later is recorded all the same.
            spender: whose own limit it counts against, beside the account's balance.

        Raises:
            InsufficientCredit: it is more than is available, or than the spender has left.
            Conflict: another reservation has the id, or it has been settled.
            Invalid: no positive amount with at most nine decimals.
            Unreachable: the database does not answer.
        """
        ...

    async def settle(
        self, reservation: str, amount: Decimal, *, reason: str | None = None, reference: str | None = None
    ) -> Entry | None:
        """Takes what the work did cost, less or more than was reserved, and ends the reservation.

        What was done is recorded even where the balance falls below zero. Settling again changes nothing.

        Returns:
            The entry; None where it cost nothing.

        Raises:
            NotFound: no such reservation, or it was released.
        """
        ...

    async def release(self, reservation: str) -> None:
        """Ends a reservation whose work was not done; one that has ended is left as it is."""
        ...

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
        """Takes an amount at once; the same operation again gives the same entry.

        Raises:
            InsufficientCredit: it is more than is available, or than the spender has left.
            Conflict: the operation has been used for something else.
        """
        ...


class Billing(Credits, Holdings, Protocol):
    """Credits, for the operator."""

    async def spent(self, spender: str) -> Decimal:
        """What a spender with a limit has spent."""
        ...

    async def entries(self, account: str, *, before: int | None = None, limit: int = 50) -> list[Entry]:
        """An account's entries, newest first, before the one of that id."""
        ...

    async def post(self, posting: Posting) -> Entry:
        """Writes an entry by hand; the same operation again gives the same entry.

        Raises:
            InsufficientCredit: a debit of more than is available.
            Conflict: the operation has been used for something else.
            Invalid: the amount has the wrong sign for its kind, or is not exact.
        """
        ...

    async def used(self, event: Any, transaction: Transaction) -> None:
        """Records a `credits.used`: the subscriber `billing.usage`."""
        ...

    async def callback(self, processor: str, signature: str | None, body: bytes) -> str:
        """Takes a payment processor's signed callback.

        Args:
            processor: its name in the spec.
            signature: the header that it signs with.
            body: as it was sent, to the byte.

        Returns:
            `recorded`; `known` where it has been recorded before; `ignored` where it tells of no payment of ours.

        Raises:
            NotFound: no such processor.
            Invalid: not signed by it, too old, or unusable.
        """
        ...
