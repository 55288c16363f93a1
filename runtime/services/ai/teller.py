"""Money, reserved before a call and settled after it, in the one place where all instances agree: the database.

An instance holds a little more of each fund than its running calls need, where the fund has plenty; most calls then
find their money in memory. Near the end of a fund nothing is held in advance, and each call asks. One task does all
the asking and writing, so that what waits at the same moment shares one transaction: calls that want money, attempts
that were recorded, holds that are returned or prolonged.

A row of an attempt and the money that it takes are written in one transaction. A commit whose answer was lost is made
again, and takes the money of those rows alone that were not there. While the database is away no call gets money
beyond what is held, and rows wait in the journal.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import anyio

from runtime.errors import Fault, Unreachable
from runtime.services.ai import funds as funding
from runtime.services.ai.funds import Credit, Fund, by_kind, refusal
from runtime.services.ai.nano import dollars, of
from runtime.services.ai.purse import Purse
from runtime.services.ai.store import AWAY, attempts, budgets
from runtime.services.billing.ports import Draw
from runtime.services.names import time_ordered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runtime.services.ai.journal import Journal
    from runtime.services.ai.store.attempts import Row
    from runtime.services.ai.store.budgets import Window
    from runtime.services.billing.ports import Holdings
    from runtime.services.outbox.ports import Transaction, Transactions

logger = logging.getLogger("runtime.ai")

TTL: Final = 120.0
"""Seconds after which what a dead instance held can be had by others."""
MARGIN: Final = 15.0
"""Seconds before that, when the instance itself no longer counts on it."""
LINGER: Final = 0.5
"""Seconds for which rows are gathered."""
IDLE: Final = 30.0
"""Seconds without use after which a purse is given back."""
SHARE: Final = 20
"""One part in so many of what a fund has left is held in advance, at most."""
AHEAD: Final = 100
"""And no more than so many times what was asked for."""
PAUSE: Final = 1.0
MOST_ROWS: Final = 100_000
"""Rows that may wait for the database; with more, no call begins."""
ROWS: Final = 1000
"""Rows written at once."""


class Request(NamedTuple):
    """A call that waits for money."""

    funds: Sequence[Fund]
    least: int
    most: int
    answer: asyncio.Future[int]


class Change(NamedTuple):
    """What a round does to a purse: `up` and `down` of what is held, `drawn` of what was spent, `new` of it for the
    first time."""

    up: int = 0
    drawn: int = 0
    new: int = 0


class Teller:
    """Reserves, settles and writes.

    Args:
        transactions: where it writes.
        credits: the accounts; None where the spec declares no billing.
        limit: what a budget's window may spend; None where the spec no longer declares the budget.
        journal: opened.
        instance: names this one among all that share the database.
        where: the database's address, for messages.
    """

    def __init__(
        self,
        transactions: Transactions,
        credits: Holdings | None,  # noqa: A002 - the word of billing
        limit: Callable[[Window], int | None],
        journal: Journal,
        *,
        instance: str,
        where: str,
    ) -> None:
        self._transactions = transactions
        self._credits = credits
        self._limit = limit
        self._journal = journal
        self._instance = instance
        self._where = where
        self._purses: dict[Fund, Purse] = {}
        self._requests: deque[Request] = deque()
        self._rows: list[Row] = []
        self._writing = 0
        self._flushers: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._due = float("inf")
        self.away: str | None = None
        """Why rows cannot be written, while they cannot."""
        self.rounds = 0
        """Transactions."""

    @property
    def waiting(self) -> int:
        """Rows that are not in the database yet."""
        return len(self._rows) + self._writing

    # What calls ask for

    def take(self, funds: Sequence[Fund], amount: int) -> bool:
        """Promises an amount of each fund at once, if this instance holds it."""
        now = time.monotonic()
        purses = [self._purses.get(fund) for fund in funds]
        for purse in purses:
            if purse is None or purse.held - purse.promised - purse.spent < amount or purse.valid_until < now:
                return False
        for purse in purses:
            purse.promised += amount  # type: ignore[union-attr]
            purse.used = now  # type: ignore[union-attr]
        return True

    async def reserve(self, funds: Sequence[Fund], least: int, most: int) -> int:
        """Promises the most, or what there is if it is the least at least.

        Returns:
            The amount, which has to be given back to `release` once.

        Raises:
            InsufficientCredit, BudgetSpent: there is less.
            Unreachable: the database does not answer.
        """
        if self.waiting > MOST_ROWS:
            raise self._unreachable(f"{self.waiting} attempts wait to be written: {self.away or 'it is slow'}")
        if not funds or self.take(funds, most):
            return most
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._requests.append(Request(funds, least, most, answer))
        self._wake.set()
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            answer.add_done_callback(lambda done: self._unwanted(funds, done))
            raise

    def release(self, funds: Sequence[Fund], amount: int) -> None:
        """Takes back a promise: what was spent of it has been noted."""
        for fund in funds:
            self._purses[fund].promised -= amount
        self._soon()

    def note(self, row: Row) -> None:
        """Writes an attempt down, and takes what it costs of its funds."""
        for name in row.funds:
            fund = funding.named(name)
            purse = self._purses.get(fund) or self._purses.setdefault(fund, Purse(fund))
            purse.spent += row.charged
        self._rows.append(row)
        self._soon()
        try:
            self._journal.write(row)
        except OSError as error:
            logger.error("an attempt is kept in memory alone, the journal cannot be written: %s", error.strerror)

    async def flush(self) -> None:
        """Waits until all that was noted is in the database.

        Raises:
            Unreachable: it does not answer.
        """
        if self.waiting:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._flushers.append(done)
            self._due = 0.0
            self._wake.set()
            await done

    # The one task

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            with anyio.move_on_after(max(0.0, min(self._due - time.monotonic(), IDLE))):
                await self._wake.wait()
            self._wake.clear()
            try:
                await self._round(time.monotonic() >= self._due)
            except AWAY as error:
                self._due = time.monotonic() + PAUSE
                if self.away is None:
                    logger.warning("attempts wait for the database: %s", type(error).__name__)
                self.away = f"{type(error).__name__}"

    async def end(self) -> None:
        """Writes what waits and gives all back."""
        await self._round(True)
        async with self._transactions.transaction() as tx:
            await self._abandon(tx, self._instance)
        self._purses.clear()

    async def recover(self) -> int:
        """Writes what killed processes have left, and gives back what they held; returns how many rows there were."""
        count = 0
        for left in self._journal.left():
            try:
                rows = left.rows()
                async with self._transactions.transaction() as tx:
                    drawn = await self._write(tx, rows)
                    credit, windows = by_kind(drawn)
                    await self._lock(tx, left.instance, credit, windows)
                    await self._draw(tx, left.instance, rows, {fund: (drawn[fund], 0) for fund in drawn})
                    await self._abandon(tx, left.instance)
            except AWAY:
                left.leave()
                raise
            left.remove()
            count += len(rows)
            logger.info("%d attempts of a process that was killed are in the ledger", len(rows))
        return count

    def _soon(self, delay: float = LINGER) -> None:
        due = time.monotonic() + delay
        if due < self._due and not (self.away and self._rows):
            self._due = due
            self._wake.set()

    async def _round(self, due: bool) -> None:
        requests, rows, flushers, part = list(self._requests), [], [], -1
        self._requests.clear()
        if due:
            rows, flushers, part = self._rows, self._flushers, self._journal.turn()
            self._rows, self._flushers, self._due, self._writing = [], [], float("inf"), len(rows)
        try:
            await self._transact(requests, rows, due)
        except BaseException as error:
            self._rows[:0] = rows
            self._fail(requests, flushers, error)
            raise
        finally:
            self._writing = 0
        if due:
            self.away = None
            self._journal.forget(part)
            for done in flushers:
                if not done.done():
                    done.set_result(None)
        if self._purses:
            self._soon(IDLE / 2)

    async def _transact(self, requests: list[Request], rows: list[Row], due: bool) -> None:
        began = time.monotonic()
        idle = due and any(self._unsettled(purse, began) for purse in self._purses.values())
        if not (requests or rows or idle):
            return
        self.rounds += 1
        asked = {fund for request in requests for fund in request.funds}
        paying = {funding.named(name) for row in rows for name in row.funds}
        granted: list[tuple[Request, int]] = []
        changes: dict[Purse, Change] = {}
        try:
            async with self._transactions.transaction() as tx:
                new = await self._write(tx, rows)
                totals = await self._lock(tx, self._instance, *by_kind(asked | paying))
                changes = {self._purse(fund): Change() for fund in asked | paying}
                for row in rows:
                    for name in row.funds:
                        purse = self._purse(funding.named(name))
                        changes[purse] = changes[purse]._replace(drawn=changes[purse].drawn + row.charged)
                for fund, amount in new.items():
                    changes[self._purse(fund)] = changes[self._purse(fund)]._replace(new=amount)
                granted, refused = self._decide(requests, totals, changes)
                if due:
                    self._return_idle(changes, began)
                keep = {purse.fund: _kept(purse, change) for purse, change in changes.items()}
                await self._draw(tx, self._instance, rows, {f: (new.get(f, 0), kept) for f, kept in keep.items()})
        except BaseException:
            for request, amount in granted:
                for fund in request.funds:
                    self._purse(fund).promised -= amount
            for purse in changes:
                purse.stale = True
            raise
        for purse, change in changes.items():
            purse.held = _kept(purse, change)
            purse.spent -= change.drawn
            purse.valid_until = began + TTL - MARGIN
            purse.stale = False
            if purse.empty:
                del self._purses[purse.fund]
        for request, amount in granted:
            self._answer(request, amount)
        for request, fault in refused:
            if not request.answer.done():
                request.answer.set_exception(fault)

    # The parts of a round

    async def _write(self, tx: Transaction, rows: Sequence[Row]) -> dict[Fund, int]:
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

    async def _lock(
        self, tx: Transaction, instance: str, accounts: list[str], windows: list[Window]
    ) -> dict[Fund, int]:
        """What an instance may hold of each fund in all; always accounts first, so that no two wait for each other."""
        totals: dict[Fund, int] = {}
        if accounts and self._credits is not None:
            found = await self._credits.available(tx, instance, accounts)
            totals.update({Credit(account): of(amount) for account, amount in found.items()})
        for window, stands in (await budgets.lock(tx.connection, windows, instance)).items():
            limit = self._limit(window)
            totals[window] = (limit if limit is not None else stands.spent) - stands.spent - stands.held
        return totals

    def _decide(
        self, requests: list[Request], totals: Mapping[Fund, int], changes: dict[Purse, Change]
    ) -> tuple[list[tuple[Request, int]], list[tuple[Request, Fault]]]:
        """Promises what there is, in the order in which they came. It must not wait: purses would change meanwhile."""
        room = {
            fund: totals[fund] - changes[purse].new - max(0, purse.held - changes[purse].drawn)
            for fund in totals
            if (purse := self._purse(fund)) in changes
        }
        granted: list[tuple[Request, int]] = []
        refused: list[tuple[Request, Fault]] = []
        for request in requests:
            purses = {fund: self._purse(fund) for fund in request.funds}
            there = {fund: room[fund] + purse.free + changes[purse].up for fund, purse in purses.items()}
            tightest = min(there, key=lambda fund: there[fund])
            amount = min(request.most, there[tightest])
            if amount < request.least:
                refused.append((request, refusal(tightest, request.least, there[tightest])))
                continue
            for fund, purse in purses.items():
                short = max(0, amount - purse.free - changes[purse].up)
                changes[purse] = changes[purse]._replace(up=changes[purse].up + short)
                room[fund] -= short
                purse.promised += amount
                purse.used = time.monotonic()
            granted.append((request, amount))
        for fund, purse in {fund: self._purse(fund) for request, _ in granted for fund in request.funds}.items():
            up = changes[purse].up
            if up:
                purse.share = min(room[fund] // SHARE, AHEAD * up) if room[fund] // SHARE >= up else 0
                changes[purse] = changes[purse]._replace(up=up + purse.share)
        return granted, refused

    def _return_idle(self, changes: dict[Purse, Change], now: float) -> None:
        """Gives back what nobody uses, and has the rest prolonged where its time runs out."""
        for purse in self._purses.values():
            if self._unsettled(purse, now, changes.get(purse, Change()).up):
                changes.setdefault(purse, Change())
                purse.held -= max(0, self._surplus(purse, now, changes[purse].up))

    def _unsettled(self, purse: Purse, now: float, up: int = 0) -> bool:
        """Whether the database has to hear of a purse."""
        ending = purse.held > 0 and purse.valid_until - now < TTL / 2
        return ending or purse.stale or purse.empty or self._surplus(purse, now, up) > 0

    def _surplus(self, purse: Purse, now: float, up: int) -> int:
        """What of a purse is to be given back; `up` is on its way into it."""
        free = purse.free + up
        return free - (min(free, purse.share) if now - purse.used < IDLE else 0)

    async def _draw(
        self, tx: Transaction, instance: str, rows: Sequence[Row], funds: Mapping[Fund, tuple[int, int]]
    ) -> None:
        """Takes what was spent of funds and sets what is held of them: by fund, both amounts."""
        references: dict[str, list[Row]] = {}
        for row in rows:
            for name in row.funds:
                if row.entry and name.startswith("credit:"):
                    references.setdefault(name, []).append(row)
        draws, held = [], {}
        for fund, (taken, kept) in sorted(funds.items(), key=lambda item: funding.name(item[0])):
            if isinstance(fund, Credit) and taken:
                draws.append(_draft(fund.account, taken, kept, references[funding.name(fund)]))
            elif isinstance(fund, Credit):
                held[fund.account] = dollars(kept)
        if self._credits is not None:
            await self._credits.draw(tx, instance, draws, ttl=TTL)
            await self._credits.hold(tx, instance, held, ttl=TTL)
        of_budgets = {fund: amounts for fund, amounts in funds.items() if not isinstance(fund, Credit)}
        if spent := {window: taken for window, (taken, _) in of_budgets.items() if taken}:
            await budgets.spend(tx.connection, spent)
        expires = datetime.now(UTC) + timedelta(seconds=TTL)
        kept_of = {window: kept for window, (_, kept) in of_budgets.items()}
        await budgets.hold(tx.connection, instance, kept_of, expires)

    async def _abandon(self, tx: Transaction, instance: str) -> None:
        if self._credits is not None:
            await self._credits.abandon(tx, instance)
        await budgets.abandon(tx.connection, instance)

    # Answers

    def _purse(self, fund: Fund) -> Purse:
        return self._purses.get(fund) or self._purses.setdefault(fund, Purse(fund))

    def _answer(self, request: Request, amount: int) -> None:
        if request.answer.done():  # it cannot be, unless the loop ends
            self.release(request.funds, amount)
        else:
            request.answer.set_result(amount)

    def _unwanted(self, funds: Sequence[Fund], answer: asyncio.Future[int]) -> None:
        """A caller that left while it waited gives its money back."""
        if not answer.cancelled() and answer.exception() is None:
            self.release(funds, answer.result())

    def _fail(
        self, requests: Iterable[Request], flushers: Iterable[asyncio.Future[None]], error: BaseException
    ) -> None:
        fault = error if isinstance(error, Fault) else self._unreachable(type(error).__name__)
        every: list[asyncio.Future[Any]] = [*(request.answer for request in requests), *flushers]
        for waiting in every:
            if not waiting.done():
                waiting.set_exception(fault)

    def _unreachable(self, why: str) -> Unreachable:
        return Unreachable(
            "storage.database", self._where, why, remedy="Nothing is asked while what it costs cannot be written."
        )


def _kept(purse: Purse, change: Change) -> int:
    """What is held of a fund after a round."""
    return max(0, purse.held - change.drawn) + change.up


def _draft(account: str, taken: int, kept: int, rows: list[Row]) -> Draw:
    """What is entered for the rows of one account: of a single call its id, of several the entry's own."""
    calls = {row.call for row in rows}
    operations = {row.operation for row in rows}
    reason = f"ai.{operations.pop()}" if len(operations) == 1 else "ai"
    entry = str(rows[0].entry)
    return Draw(account, dollars(taken), dollars(kept), entry, reason, calls.pop() if len(calls) == 1 else entry)
