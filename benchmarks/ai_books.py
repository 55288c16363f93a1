"""What the books of AI cost: reserving, settling and writing down a call, with a budget, credits and a key's limit.

The real books over a real database (SQLite; PostgreSQL with `--database`) and a real Valkey; no HTTP and no provider.
At the end the ledger has to hold each attempt once, and the money what they did cost, to the nano-dollar.

    python benchmarks/ai_books.py --rounds 5
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
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
from runtime.storage.redis import EmbeddedRedis
from tests.services.outbox.conftest import Place

STREAMS: dict[str, Any] = {"billing": {"events": {"credits.used": {}, "credits.overdrawn": {}, "payment.received": {}}}}
SECTION: dict[str, Any] = {
    "providers": {"p": {"kind": "openai", "api_key": "k", "limits": {"requests": "100000000/m"}}},
    "prices": {"p/m": {"input": 1, "output": 10}},
    "budgets": {"mine": {"per": "30d", "limit": "100000.00 USD"}},
}
USED = Usage(input=1000, output=100)
COST = 2_000_000
"""Nano-dollars of such an attempt."""
CANDIDATE = Candidate("p", "m")


class Bench:
    """The books of one instance, and as many calls as are asked of them."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._accounts = Accounts(books)
        self.made = 0

    async def call(self) -> None:
        call = Call(
            id=time_ordered(),
            user="user:ada",
            key="key:1",
            key_credits=Decimal(100_000),
            candidates=(CANDIDATE,),
            input_bytes=4000,
            max_output=200,
        )
        account = await self._accounts.open(call)
        await account.admit(CANDIDATE)
        attempt = Attempt(
            call=call.id, number=1, provider="p", model="m", outcome="ok", usage=USED, started=time.time(), duration=0.1
        )
        await account.record(attempt)
        await account.close()
        self.made += 1

    async def some(self, count: int, at_once: int) -> float:
        """Microseconds a call, until all is in the database."""
        left = iter(range(count))

        async def one_after_the_other() -> None:
            for _ in left:
                await self.call()

        began = time.perf_counter()
        await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))
        await self._books.teller.flush()
        return (time.perf_counter() - began) / count * 1e6

    async def chunk(self, count: int = 100_000) -> float:
        """Microseconds to look whether the money is gone, once."""
        call = Call(
            id=time_ordered(), user="user:ada", key="key:1", candidates=(CANDIDATE,), input_bytes=4000, max_output=200
        )
        account = await self._accounts.open(call)
        await account.admit(CANDIDATE)
        began = time.perf_counter()
        for _ in range(count):
            account.spent(USED)
        took = time.perf_counter() - began
        await account.close()
        return took / count * 1e6


async def measured(url: str, folder: Path, rounds: int, calls: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"one after the other": [], "32 at once": [], "a look at the money": []}
    async with AsyncExitStack() as stack:
        redis = EmbeddedRedis(folder / "redis")
        await redis.start()
        stack.push_async_callback(redis.stop)
        place = Place(redis.client, url, folder, {}, STREAMS)
        await place.start()
        stack.push_async_callback(place.close)
        ledger = Billing(BillingSpec.model_validate({}), place.database, place.outbox, place.outbox, place.events)
        await ledger.start()
        await ledger.post(Posting("user:ada", "bonus", Decimal(1_000_000), f"operator:{time_ordered()}"))
        books = Books(SECTION, place.database, place.outbox, ledger, redis.client, prefix="b:", folder=folder / "ai")
        await books.start()
        stack.push_async_callback(books.stop)
        watching = asyncio.create_task(books.watch())
        stack.push_async_callback(end_tasks, [watching])
        bench = Bench(books)
        await bench.some(200, 1)
        for _ in range(rounds):
            found["one after the other"].append(await bench.some(calls, 1))
            found["32 at once"].append(await bench.some(calls, 32))
            found["a look at the money"].append(await bench.chunk())
        (written,) = await place.sql("SELECT count(*), count(DISTINCT call), sum(cost) FROM ai_attempts")
        (budget,) = await Report(books).budgets("user:ada", "key:1")
        taken = 1_000_000 - (await ledger.balance("user:ada")).balance
        assert tuple(written) == (bench.made, bench.made, bench.made * COST), written
        assert budget.spent == bench.made * COST, budget
        assert taken == Decimal(bench.made * COST).scaleb(-9), taken
        print(f"{bench.made:,} calls, each in the ledger once; budget and credits hold what they did cost, {taken} USD")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--database", default="sqlite", help="its address; a new SQLite file by default")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="runtime-bench-") as folder:
        found = asyncio.run(measured(args.database, Path(folder), args.rounds, args.calls))
    for name, values in found.items():
        print(f"{name:24} {statistics.median(values):8.2f} us ({min(values):.2f}–{max(values):.2f})")


if __name__ == "__main__":
    main()
