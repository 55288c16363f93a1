"""Books over real servers: what the tests of money, limits and safety build on."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from runtime.services.ai.accounting import Call, Candidate
from runtime.services.ai.accounts import Accounts
from runtime.services.ai.books import Books
from runtime.services.ai.report import Report
from runtime.services.ai.usage import Attempt, Usage
from runtime.services.billing.ports import Posting
from runtime.services.billing.service import Billing
from runtime.services.billing.spec import BillingSpec
from runtime.services.ending import end_tasks
from runtime.services.names import time_ordered
from tests.services.outbox.conftest import place as place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from decimal import Decimal
    from pathlib import Path

    from runtime.services.ai.accounting import Models
    from runtime.storage.wire import WiredRedis
    from tests.services.outbox.conftest import Place

STREAMS: dict[str, Any] = {"billing": {"events": {"credits.used": {}, "credits.overdrawn": {}, "payment.received": {}}}}
DOLLAR = 10**9
SECTION: dict[str, Any] = {
    "providers": {
        "p": {"kind": "openai", "api_key": "k"},
        "q": {"kind": "mistral", "api_key": "k"},
        "echo": {"kind": "echo"},
    },
    "prices": {
        "p/m": {"input": 1, "output": 1_000_000},  # a dollar a token out: easy to reckon with
        "q/m": {"input": 0, "output": 2_000_000},
        "q/mistral-moderation-latest": {"input": 1, "output": 0},
    },
    "max_cost": "100.00 USD",
}


class Instance:
    """One instance: its books, and the accounts that it opens."""

    def __init__(self, at: Place, folder: Path, client: Any, *, billing: bool, section: dict[str, Any]) -> None:
        self.at = at
        self.folder = folder
        outbox = at.outbox
        self.ledger = Billing(BillingSpec.model_validate({}), at.database, outbox, outbox, at.events)
        payer = self.ledger if billing else None
        spec = {**SECTION, **section}
        self.books = Books(spec, at.database, outbox, payer, client, prefix="rt:test:ai:", folder=folder)
        self.accounts = Accounts(self.books)
        self._task: asyncio.Task[None] | None = None

    def checked(self, models: Models, **safety: Any) -> None:
        """Has texts checked from now on."""
        from runtime.services.ai.safety import Safety
        from runtime.services.ai.spec import SafetySpec

        spec = SafetySpec.model_validate(safety)
        self.accounts = Accounts(self.books, Safety(lambda: spec, models, self.books.prices))

    async def start(self) -> None:
        await self.ledger.start()
        await self.books.start()
        self._task = asyncio.create_task(self.books.watch())

    async def stop(self) -> None:
        if self._task is not None:
            await end_tasks([self._task])
            await self.books.stop()
            self._task = None

    async def die(self) -> None:
        """Ends as a killed process does: nothing more is written, and the operating system frees its lock."""
        assert self._task is not None
        await end_tasks([self._task])
        self._task = None
        self.books._journal._lock.release()

    async def left(self, user: str = "user:ada", key: str = "key:1") -> dict[str, tuple[int, int]]:
        """What was spent and is reserved of each budget of a caller, in nano-dollars."""
        await self.books.teller.flush()
        return {one.name: (one.spent, one.reserved) for one in await Report(self.books).budgets(user, key)}

    async def give(self, account: str, amount: Decimal) -> None:
        await self.ledger.post(Posting(account, "bonus", amount, f"operator:{time_ordered()}"))

    async def count(self, table: str = "ai_attempts") -> int:
        return int((await self.at.sql(f"SELECT count(*) FROM {table}"))[0][0])


def call(*candidates: str, user: str = "user:ada", max_output: int | None = 1, **fields: Any) -> Call:
    """A call of one model, `provider/model`, or of several."""
    chosen = tuple(Candidate(name.partition("/")[0], name.partition("/")[2]) for name in candidates or ("p/m",))
    return Call(
        id=time_ordered(), user=user, key=fields.pop("key", "key:1"), candidates=chosen, max_output=max_output, **fields
    )


def attempt(of: Call, number: int = 1, outcome: Any = "ok", **tokens: Any) -> Attempt:
    candidate = of.candidates[0]
    return Attempt(
        call=of.id,
        number=number,
        provider=candidate.provider,
        model=candidate.model,
        outcome=outcome,
        usage=Usage(**tokens),
        started=time.time(),
        duration=0.25,
    )


@pytest.fixture
async def instance(
    place: Callable[..., Awaitable[Place]], tmp_path: Path, client: WiredRedis
) -> AsyncIterator[Callable[..., Awaitable[Instance]]]:
    """Makes instances that share a database, a Redis and a folder of journals."""
    made: list[Instance] = []

    async def build(
        *, billing: bool = True, over: Any = client, folder: Path | None = None, **section: Any
    ) -> Instance:
        at = await place(streams=STREAMS)
        one = Instance(at, folder or tmp_path / "journal", over, billing=billing, section=section)
        made.append(one)
        await one.start()
        return one

    yield build
    for one in reversed(made):
        await one.stop()
