"""The books of AI as a component: prices, limits, money and the ledger of attempts."""

from __future__ import annotations

import logging
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import anyio

from runtime.errors import Fault, Unreachable
from runtime.health import Health
from runtime.services.ai import funds
from runtime.services.ai.adapters.genai import PublishedPrices
from runtime.services.ai.journal import Journal
from runtime.services.ai.limits import Limits
from runtime.services.ai.nano import of
from runtime.services.ai.prices import Prices
from runtime.services.ai.spec import AiSpec
from runtime.services.ai.store import AWAY, budgets
from runtime.services.ai.teller import Teller
from runtime.services.names import PROCESS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runtime.services.ai.accounting import Call
    from runtime.services.ai.funds import Fund
    from runtime.services.ai.store.budgets import Window
    from runtime.services.billing.ports import Holdings
    from runtime.services.outbox.ports import Transactions
    from runtime.storage.database import Database
    from runtime.storage.wire import WiredRedis

logger = logging.getLogger("runtime.ai")

RECOVER: Final = 30.0
"""Seconds between two looks for what killed processes have left."""
KEEP: Final = timedelta(days=90)
"""For how long what a budget spent in a window is kept after the window's end."""


class Books:
    """What every call's account is kept in.

    Args:
        section: the `ai` section, as plain data.
        database: where the ledger is, for reads.
        transactions: where it writes.
        credits: the accounts that pay; None where the spec declares no billing.
        redis: where instances share limits.
        prefix: of its keys, `rt:core:ai:limit:`.
        folder: where journals are kept.
    """

    def __init__(
        self,
        section: Mapping[str, Any],
        database: Database,
        transactions: Transactions,
        credits: Holdings | None,  # noqa: A002 - the word of billing
        redis: WiredRedis | None,
        *,
        prefix: str,
        folder: Path,
    ) -> None:
        self._data = section
        self.spec = AiSpec.model_validate(section)
        self.instance = f"{PROCESS}-{secrets.token_hex(2)}"
        self.database = database
        self.credits = credits
        self._journal = Journal(folder, self.instance)
        self.prices = Prices(self.spec.providers, self.spec.prices, PublishedPrices())
        self.limits = Limits(redis, prefix, instance=self.instance, policy=self.spec.limits.without_redis)
        self.teller = Teller(
            transactions, credits, self.limit, self._journal, instance=self.instance, where=database.address
        )
        self._max_cost = of(self.spec.max_cost.amount)

    # As a component

    async def start(self) -> None:
        """Writes what a killed process has left.

        Raises:
            Fault: credits are in another currency than prices, prices are not installed, or the journal cannot be made.
        """
        if self.credits is not None and self.credits.currency != "USD":
            raise Fault(
                f"ai: models have their prices in US dollars, and credits are in {self.credits.currency}",
                remedy="Set `billing.currency: USD`; amounts are not converted.",
            )
        await self.prices.load()
        try:
            await self._journal.open()
        except OSError as error:
            raise Fault(f"ai: the journal cannot be written: {error}", remedy="Make its folder writable.") from error
        await self.teller.recover()

    async def watch(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.teller.run)
            tasks.start_soon(self.limits.run)
            tasks.start_soon(self._look_after)

    async def stop(self) -> None:
        """Writes what waits, and gives back what is held."""
        try:
            await self.teller.end()
        except AWAY as error:
            logger.warning(
                "%d attempts stay in the journal, the database does not answer (%s)",
                self.teller.waiting,
                type(error).__name__,
            )
        self._journal.close(kept=bool(self.teller.waiting))

    async def update(self, fields: Mapping[str, Any]) -> None:
        """Takes other limits, budgets and prices."""
        data = {**self._data, **fields}
        self.spec, self._data = AiSpec.model_validate(data), data
        self.prices.update(self.spec.providers, self.spec.prices)
        self.limits.policy = self.spec.limits.without_redis
        self._max_cost = of(self.spec.max_cost.amount)

    async def health(self) -> Health:
        details = {"waiting": self.teller.waiting}
        if self.teller.away:
            return Health("degraded", f"attempts wait for the database ({self.teller.away})", details)
        if self.limits.away:
            return Health("degraded", f"limits are not counted over all instances: {self.limits.policy}", details)
        return Health(details=details)

    # What calls need

    @property
    def max_cost(self) -> int:
        """The most that one answer may cost, in nano-dollars."""
        return self._max_cost

    def paying(self, call: Call) -> list[Fund]:
        """The funds that pay for a call."""
        found: list[Fund] = list(funds.windows(self.spec.budgets, call.user, call.key, time.time()))
        if self.credits is not None:
            found.append(funds.Credit(call.user))
            if call.key_credits is not None:
                found.append(funds.KeyCredit(call.user, call.key, of(call.key_credits)))
        return found

    def limit(self, window: Window) -> int | None:
        """What a budget's window may spend; None where the spec no longer declares the budget."""
        declared = self.spec.budgets.get(window.budget)
        return of(declared.limit.amount) if declared is not None else None

    async def _look_after(self) -> None:
        while True:
            await anyio.sleep(RECOVER)
            try:
                await self.teller.recover()
                async with self.database.transaction() as connection:
                    await budgets.forget(connection, datetime.now(UTC) - KEEP)
            except (*AWAY, Unreachable) as error:
                logger.debug("budgets could not be looked after: %s", type(error).__name__)
