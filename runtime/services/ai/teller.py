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
from typing import TYPE_CHECKING, Any, Final

import anyio

from runtime.errors import Fault, Unreachable
from runtime.services.ai import funds as funding
from runtime.services.ai.sharing import IDLE, Change, Purses, Request, decide, kept, return_idle, unsettled
from runtime.services.ai.store import AWAY
from runtime.services.ai.till import TTL, Till

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from runtime.services.ai.funds import Fund
    from runtime.services.ai.journal import Journal
    from runtime.services.ai.purse import Purse
    from runtime.services.ai.store.attempts import Row
    from runtime.services.ai.store.budgets import Window
    from runtime.services.billing.ports import Holdings
    from runtime.services.outbox.ports import Transactions

logger = logging.getLogger("runtime.ai")

MARGIN: Final = 15.0
"""Seconds before what is held can be had by others, when the instance itself no longer counts on it."""
LINGER: Final = 0.5
"""Seconds for which rows are gathered."""
PAUSE: Final = 1.0
MOST_ROWS: Final = 100_000
"""Rows that may wait for the database; with more, no call begins."""


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
        self._till = Till(credits, limit)
        self._journal = journal
        self._instance = instance
        self._where = where
        self._purses = Purses()
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
            self._purses[funding.named(name)].spent += row.charged
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
            await self._till.abandon(tx, self._instance)
        self._purses.clear()

    async def recover(self) -> int:
        """Writes what killed processes have left, and gives back what they held; returns how many rows there were."""
        count = 0
        for left in self._journal.left():
            try:
                rows = left.rows()
                async with self._transactions.transaction() as tx:
                    drawn = await self._till.write(tx, rows)
                    await self._till.lock(tx, left.instance, drawn)
                    await self._till.draw(tx, left.instance, rows, {fund: (drawn[fund], 0) for fund in drawn})
                    await self._till.abandon(tx, left.instance)
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
        idle = due and any(unsettled(purse, began) for purse in self._purses.values())
        if not (requests or rows or idle):
            return
        self.rounds += 1
        asked = {fund for request in requests for fund in request.funds}
        paying = {funding.named(name) for row in rows for name in row.funds}
        granted: list[tuple[Request, int]] = []
        changes: dict[Purse, Change] = {}
        try:
            async with self._transactions.transaction() as tx:
                new = await self._till.write(tx, rows)
                totals = await self._till.lock(tx, self._instance, asked | paying)
                changes = {self._purses[fund]: Change() for fund in asked | paying}
                for row in rows:
                    for name in row.funds:
                        purse = self._purses[funding.named(name)]
                        changes[purse] = changes[purse]._replace(drawn=changes[purse].drawn + row.charged)
                for fund, amount in new.items():
                    changes[self._purses[fund]] = changes[self._purses[fund]]._replace(new=amount)
                granted, refused = decide(requests, totals, self._purses, changes)
                if due:
                    return_idle(self._purses, changes, began)
                keep = {purse.fund: kept(purse, change) for purse, change in changes.items()}
                await self._till.draw(tx, self._instance, rows, {fund: (new.get(fund, 0), keep[fund]) for fund in keep})
        except BaseException:
            for request, amount in granted:
                for fund in request.funds:
                    self._purses[fund].promised -= amount
            for purse in changes:
                purse.stale = True
            raise
        for purse, change in changes.items():
            purse.held = kept(purse, change)
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

    # Answers

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
