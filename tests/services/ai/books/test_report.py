"""What is told of usage: sums by any group, over pages, for the caller alone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from runtime.services.ai.report import Report
from tests.services.ai.books.conftest import DOLLAR, attempt, call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.ai.books.conftest import Instance

    Make = Callable[..., Awaitable[Instance]]

TODAY = datetime(2026, 3, 10, 12, tzinfo=UTC)


async def used(at: Instance, days_ago: int = 0, outcome: str = "ok", candidate: str = "p/m", **fields: Any) -> None:
    of = call(candidate, user=fields.pop("user", "user:ada"), key=fields.pop("key", "key:1"), max_output=10)
    account = await at.accounts.open(of)
    await account.admit(of.candidates[0])
    started = (TODAY - timedelta(days=days_ago)).timestamp()
    await account.record(msgspec.structs.replace(attempt(of, 1, outcome, **fields), started=started))
    await account.close()


async def test_sums_by_what_is_asked_for(instance: Make) -> None:
    at = await instance(
        billing=False, prices={"p/m": {"input": 0, "output": 1_000_000}, "q/m": {"input": 0, "output": 1}}
    )
    await used(at, 0, output=2, input=5, reasoning=1)
    await used(at, 0, outcome="timeout")
    await used(at, 1, output=3, estimated=True)
    await used(at, 1, candidate="q/m", output=1, user="user:bob", key="key:2")
    report, today = Report(at.books), TODAY.date()
    everything = await report.used([], {}, today - timedelta(days=5), today)
    assert [(one.calls, one.attempts, one.failed, one.estimated) for one in everything] == [(4, 4, 1, 1)]
    assert everything[0].cost == everything[0].charged == 6 * DOLLAR + 1000
    assert everything[0].tokens == {"input": 5, "cached_input": 0, "cache_write": 0, "output": 6, "reasoning": 1}
    first = (today - date(1970, 1, 1)).days - 1
    days = await report.used(["day", "model"], {"user": "user:ada"}, today - timedelta(days=5), today)
    assert [(one.group, one.calls) for one in days] == [((first, "m"), 1), ((first + 1, "m"), 2)]
    assert await report.used([], {"user": "user:eve"}, today, today) == []
    assert [one.group for one in await report.used(["user"], {}, today, today)] == [("user:ada",)]
    one, other = await report.used(["user", "key"], {}, date(2026, 1, 1), today)
    page = await report.used(["user", "key"], {}, date(2026, 1, 1), today, after=one.group, limit=1)
    assert page == [other]


async def test_what_is_left_of_budgets(instance: Make) -> None:
    budgets = {"mine": {"per": "1d", "limit": "5.00 USD"}, "all": {"per": "1h", "limit": "9.50 USD", "scope": "spec"}}
    at = await instance(prices={"p/m": {"input": 0, "output": 1_000_000}}, budgets=budgets)
    await at.give("user:ada", Decimal(100))
    of = call(max_output=2)
    account = await at.accounts.open(of)
    await account.admit(of.candidates[0])
    mine, shared = await Report(at.books).budgets("user:ada", "key:1")
    assert (mine.name, mine.limit, mine.spent, mine.reserved, mine.left) == (
        "mine",
        5 * DOLLAR,
        0,
        2 * DOLLAR,
        3 * DOLLAR,
    )
    assert mine.ends - mine.begins == timedelta(days=1)
    await account.record(attempt(of, output=1))
    await account.close()
    mine, shared = await Report(at.books).budgets("user:ada", "key:1")
    assert (mine.spent, mine.left, shared.spent, shared.left) == (DOLLAR, 4 * DOLLAR, DOLLAR, 8 * DOLLAR + DOLLAR // 2)
    theirs, shared = await Report(at.books).budgets("user:bob", "key:1")
    assert (theirs.spent, shared.spent) == (0, DOLLAR)


@pytest.mark.parametrize("calls", [3000])
async def test_many_attempts_are_written_together_and_counted_once(instance: Make, calls: int) -> None:
    at = await instance(billing=False, prices={"p/m": {"input": 0, "output": 1}})
    for _ in range(calls):
        await used(at, output=1)
    (total,) = await Report(at.books).used([], {}, TODAY.date(), TODAY.date())
    assert (total.calls, total.cost) == (calls, calls * 1000)
    assert not list(at.folder.glob("*.jsonl"))
