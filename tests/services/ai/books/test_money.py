"""Credits and budgets: what is reserved, what is settled, and that no money is lost or made."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import InsufficientCredit, Unreachable
from runtime.services.ai.accounting import BudgetSpent, Candidate, TooExpensive
from runtime.services.ai.prices import PriceUnknown
from runtime.services.ai.usage import Usage
from runtime.services.billing.ports import Spender
from tests.services.ai.books.conftest import DOLLAR, attempt, call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.ai.books.conftest import Instance

    Make = Callable[..., Awaitable[Instance]]

FREE_INPUT = {"p/m": {"input": 0, "output": 1_000_000}}
"""A dollar a token out, nothing for tokens in: what is reserved is what is asked for."""


async def opened(at: Instance, **fields: Any) -> tuple[Any, Any]:
    of = call(**fields)
    account = await at.accounts.open(of)
    await account.admit(of.candidates[0])
    return of, account


async def asked(at: Instance, output: int = 1, **fields: Any) -> int:
    """A whole call; what it did cost."""
    of, account = await opened(at, **fields)
    try:
        return int(await account.record(attempt(of, output=output)))
    finally:
        await account.close()


async def test_a_call_costs_what_it_used_and_the_rest_comes_back(instance: Make) -> None:
    at = await instance(prices=FREE_INPUT)
    await at.give("user:ada", Decimal(10))
    assert await asked(at, output=3, max_output=7) == 3 * DOLLAR
    await at.books.teller.flush()
    stands = await at.ledger.balance("user:ada")
    assert (stands.balance, stands.reserved) == (Decimal(7), Decimal(0))
    (entry,) = [one for one in await at.ledger.entries("user:ada") if one.kind == "usage"]
    assert (entry.amount, entry.reason) == (Decimal(-3), "ai.chat")
    row = (await at.at.sql("SELECT * FROM ai_attempts"))[0]
    assert (row.call, row.cost, row.charged, row.price) == (entry.reference, 3 * DOLLAR, 3 * DOLLAR, "spec")
    assert entry.operation == f"event:{row.entry}"


async def test_an_event_tells_what_was_used_and_is_not_entered_twice(instance: Make) -> None:
    at = await instance(prices=FREE_INPUT)
    await at.give("user:ada", Decimal(10))
    await asked(at)
    await at.books.teller.flush()
    await at.at.relay()
    async with asyncio.timeout(15):
        while not (told := [one for one in await at.at.published("billing") if one.type == "credits.used"]):
            await asyncio.sleep(0.01)
    assert (told[0].data["amount"], told[0].data["account"]) == ("1.00", "user:ada")
    async with at.at.outbox.transaction() as tx:
        await at.ledger.used(told[0], tx)
    assert (await at.ledger.balance("user:ada")).balance == 9


@pytest.mark.parametrize("instances", [1, 2])
async def test_of_a_hundred_calls_at_once_with_credit_for_ten_exactly_ten_pass(instance: Make, instances: int) -> None:
    every = [await instance(prices=FREE_INPUT) for _ in range(instances)]
    await every[0].give("user:ada", Decimal(30))
    results = await asyncio.gather(
        *(opened(every[number % instances], max_output=3) for number in range(100)), return_exceptions=True
    )
    passed = [one for one in results if not isinstance(one, BaseException)]
    assert len(passed) == 10
    assert {type(one) for one in results if isinstance(one, BaseException)} == {InsufficientCredit}
    for of, account in passed:
        await account.record(attempt(of, output=3))
        await account.close()
    for at in every:
        await at.books.teller.flush()
    stands = await every[0].ledger.balance("user:ada")
    assert (stands.balance, stands.reserved) == (Decimal(0), Decimal(0))
    assert await every[0].count() == 10


# The limit of a key


@pytest.mark.parametrize("instances", [1, 2])
async def test_of_many_calls_at_once_a_key_with_credit_for_ten_gets_exactly_ten(instance: Make, instances: int) -> None:
    every = [await instance(prices=FREE_INPUT) for _ in range(instances)]
    await every[0].give("user:ada", Decimal(1000))
    limited: dict[str, Any] = {"max_output": 3, "key_credits": Decimal(30)}
    results = await asyncio.gather(
        *(opened(every[number % instances], **limited) for number in range(100)), return_exceptions=True
    )
    passed = [one for one in results if not isinstance(one, BaseException)]
    assert len(passed) == 10
    refused = [one for one in results if isinstance(one, BaseException)]
    assert {type(one) for one in refused} == {InsufficientCredit}
    assert "of the 30.00 that this key may spend" in str(refused[0])
    for of, account in passed:
        await account.record(attempt(of, output=3))
        await account.close()
    for at in every:
        await at.books.teller.flush()
    assert await every[0].ledger.spent("key:1") == 30
    assert (await every[0].ledger.balance("user:ada")).balance == 970
    with pytest.raises(InsufficientCredit, match="this key may spend"):
        await opened(every[-1], max_output=1, key_credits=Decimal(30))
    assert await asked(every[0], key="key:2") == DOLLAR  # its account has plenty
    if instances == 1:
        (only,) = every
        await only.stop()
    else:
        await every[0].die()
    again = await instance(prices=FREE_INPUT)
    with pytest.raises(InsufficientCredit, match="this key may spend"):
        await opened(again, max_output=1, key_credits=Decimal(30))
    assert await again.ledger.spent("key:1") == 30


async def test_what_a_key_did_not_use_comes_back_and_its_limit_counts_all_work(instance: Make) -> None:
    at = await instance(prices=FREE_INPUT)
    await at.give("user:ada", Decimal(1000))
    for _ in range(4):
        await asked(at, output=1, max_output=5, key_credits=Decimal(10))
    await at.books.teller.flush()
    assert await at.ledger.spent("key:1") == 4
    await at.ledger.charge("user:ada", Decimal(3), operation="x", spender=Spender("key:1", Decimal(10)))
    assert (await opened(at, max_output=3, key_credits=Decimal(10)))[1]
    with pytest.raises(InsufficientCredit, match=r"1\.00 USD are needed, 0\.00 are available of the 10\.00"):
        await opened(at, max_output=1, key_credits=Decimal(10))
    with pytest.raises(InsufficientCredit, match="are left of the"):
        await at.ledger.charge("user:ada", Decimal(1), operation="y", spender=Spender("key:1", Decimal(10)))


async def test_a_killed_process_leaves_a_keys_spending_counted_once(instance: Make) -> None:
    one = await instance(prices=FREE_INPUT)
    await one.give("user:ada", Decimal(100))
    limited: dict[str, Any] = {"max_output": 4, "key_credits": Decimal(10)}
    of, account = await opened(one, **limited)
    await account.record(attempt(of, output=2))
    await opened(one, **limited)  # it still runs when the process dies
    await one.die()
    other = await instance(prices=FREE_INPUT)
    assert await other.ledger.spent("key:1") == 2
    assert (await opened(other, max_output=8, key_credits=Decimal(10)))[1]
    with pytest.raises(InsufficientCredit, match="this key may spend"):
        await opened(other, max_output=1, key_credits=Decimal(10))


async def test_with_plenty_of_credit_most_calls_ask_nobody(instance: Make) -> None:
    at = await instance(prices=FREE_INPUT)
    await at.give("user:ada", Decimal(100_000))
    before = at.books.teller.rounds
    for _ in range(200):
        await asked(at)
    assert at.books.teller.rounds - before < 40
    await at.books.teller.flush()
    assert (await at.ledger.balance("user:ada")).balance == 99_800


async def test_what_one_instance_holds_in_advance_comes_back_when_it_stops(instance: Make) -> None:
    one, other = await instance(prices=FREE_INPUT), await instance(prices=FREE_INPUT)
    await one.give("user:ada", Decimal(1000))
    await asked(one)
    await one.stop()
    assert (await other.ledger.balance("user:ada")).reserved == 0
    _, account = await opened(other, max_output=100)
    await account.close()


async def test_a_caller_that_leaves_while_it_waits_holds_nothing(instance: Make) -> None:
    at = await instance(prices=FREE_INPUT)
    await at.give("user:ada", Decimal(10))
    tasks = [asyncio.create_task(opened(at, max_output=5)) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await opened(at, max_output=10)


async def test_without_a_limit_of_its_own_a_call_gets_what_is_left(instance: Make) -> None:
    price = {"p/m": {"input": 0, "output": 10_000}}  # a cent a token
    at = await instance(prices=price, max_cost="50.00 USD")
    await at.give("user:ada", Decimal(60))
    of = call(max_output=None)
    first = await at.accounts.open(of)
    assert (await first.admit(of.candidates[0])).max_output == 5000  # 50 dollars
    second = await at.accounts.open(of)
    assert (await second.admit(of.candidates[0])).max_output == 1000  # the last 10
    with pytest.raises(InsufficientCredit, match=r"2.56 USD are needed, 0.00 are available"):
        await at.accounts.open(of)
    assert not second.spent(Usage(output=1000))
    assert second.spent(Usage(output=1001))


async def test_no_answer_costs_more_than_the_spec_allows(instance: Make) -> None:
    at = await instance(billing=False, max_cost="5.00 USD")
    of = call(max_output=1000)
    account = await at.accounts.open(of)
    assert (await account.admit(of.candidates[0])).max_output == 4  # the question takes part of the fifth dollar
    with pytest.raises(TooExpensive, match="the question alone may cost"):
        await at.accounts.open(call(input_bytes=20_000_000))


async def test_a_model_without_a_price_is_not_asked_unless_the_caller_pays(instance: Make) -> None:
    at = await instance(billing=False)
    with pytest.raises(PriceUnknown, match="no price is known for p/none"):
        await at.accounts.open(call("p/m", "p/none"))
    of = call("p/m", "p/none")
    own = await at.accounts.open(
        type(of)(id=of.id, user="u", key="k", candidates=(Candidate("p", "none", own_key=True),))
    )
    await own.admit(Candidate("p", "none", own_key=True))
    assert not own.spent(Usage(output=10**9))
    await own.close()


async def test_a_key_of_the_callers_own_costs_us_nothing(instance: Make) -> None:
    at = await instance(budgets={"b": {"per": "1d", "limit": "1.00 USD"}})
    own = Candidate("p", "m", own_key=True)
    of = call(max_output=1000)
    of = type(of)(id=of.id, user=of.user, key=of.key, candidates=(own,), max_output=1000)
    account = await at.accounts.open(of)  # no credit is there at all
    assert (await account.admit(own)).max_output is None
    assert await account.record(attempt(of, output=500)) == 500 * DOLLAR
    await account.close()
    await at.books.teller.flush()
    row = (await at.at.sql("SELECT cost, charged FROM ai_attempts"))[0]
    assert tuple(row) == (500 * DOLLAR, 0)


async def test_an_overdrawn_call_is_recorded_all_the_same(instance: Make) -> None:
    at = await instance(prices=FREE_INPUT)
    await at.give("user:ada", Decimal(1))
    await asked(at, output=4)
    await at.books.teller.flush()
    assert (await at.ledger.balance("user:ada")).balance == -3
    with pytest.raises(InsufficientCredit):
        await opened(at)


async def test_later_tries_spend_what_earlier_ones_left(instance: Make) -> None:
    at = await instance(prices=FREE_INPUT)
    await at.give("user:ada", Decimal(10))
    of = call(max_output=3)
    account = await at.accounts.open(of)
    await account.admit(of.candidates[0])
    await account.record(attempt(of, 1, "truncated", output=2))
    assert (await account.admit(of.candidates[0])).max_output == 1
    await account.record(attempt(of, 2, "cut", output=1))
    with pytest.raises(InsufficientCredit, match="earlier tries"):
        await account.admit(of.candidates[0])
    await account.close()
    await account.close()
    await at.books.teller.flush()
    assert (await at.ledger.balance("user:ada")).available == 7
    assert account.cost == 3 * DOLLAR


# Budgets


@pytest.mark.parametrize("scope", ["user", "key", "spec"])
async def test_budgets_hold_for_whom_they_are(instance: Make, scope: str) -> None:
    budget = {"daily": {"per": "1d", "limit": "2.00 USD", "scope": scope}}
    one = await instance(billing=False, prices=FREE_INPUT, budgets=budget)
    other = await instance(billing=False, prices=FREE_INPUT, budgets=budget)
    await asked(one, max_output=1)
    await asked(other, max_output=1)
    with pytest.raises(BudgetSpent, match=r'budget "daily" has not enough left: 1.00 USD are needed, 0.00') as refused:
        await asked(one, max_output=1)
    assert 0 < refused.value.retry_after <= 86_400
    others: dict[str, dict[str, Any]] = {
        "user": {"key": "key:2"},
        "key": {"user": "user:bob"},
        "spec": {"user": "user:bob", "key": "key:2"},
    }
    with pytest.raises(BudgetSpent):
        await asked(other, max_output=1, **others[scope])
    if scope != "spec":
        await asked(other, max_output=1, user="user:bob", key="key:2")


async def test_of_several_budgets_and_credit_the_tightest_holds_and_nothing_is_half_taken(instance: Make) -> None:
    budgets = {
        "wide": {"per": "1d", "limit": "100.00 USD", "scope": "spec"},
        "tight": {"per": "1h", "limit": "3.00 USD"},
    }
    at = await instance(prices=FREE_INPUT, budgets=budgets)
    await at.give("user:ada", Decimal(50))
    results = await asyncio.gather(*(opened(at) for _ in range(20)), return_exceptions=True)
    passed = [one for one in results if not isinstance(one, BaseException)]
    assert len(passed) == 3
    for of, account in passed:
        await account.record(attempt(of, output=1))
        await account.close()
    await at.books.teller.flush()
    stands = await at.left()
    assert stands["tight"] == (3 * DOLLAR, 0)
    assert stands["wide"][0] == 3 * DOLLAR
    assert (await at.ledger.balance("user:ada")).balance == 47


async def test_a_budget_begins_anew(instance: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    at = await instance(billing=False, prices=FREE_INPUT, budgets={"hourly": {"per": "1h", "limit": "1.00 USD"}})
    began = 1_700_000_000 // 3600 * 3600
    monkeypatch.setattr("runtime.services.ai.books.time.time", lambda: began + 3599.0)
    of, account = await opened(at)
    with pytest.raises(BudgetSpent):
        await opened(at)
    monkeypatch.setattr("runtime.services.ai.books.time.time", lambda: began + 3600.0)
    await asked(at)
    with pytest.raises(BudgetSpent):
        await opened(at)
    await account.record(attempt(of, output=1))  # it is the earlier hour's
    await account.close()
    await at.books.teller.flush()
    spent = await at.at.sql("SELECT begins, spent FROM ai_budgets ORDER BY begins")
    assert [tuple(row) for row in spent] == [(began, DOLLAR), (began + 3600, DOLLAR)]


async def test_a_budget_changes_while_it_runs(instance: Make) -> None:
    at = await instance(billing=False, prices=FREE_INPUT, budgets={"b": {"per": "1d", "limit": "1.00 USD"}})
    await asked(at)
    with pytest.raises(BudgetSpent):
        await asked(at)
    await at.books.update({"budgets": {"b": {"per": "1d", "limit": "2.00 USD"}}})
    await asked(at)
    await at.books.update({"budgets": {}})
    await asked(at, max_output=10, output=10)


# Faults


async def test_a_killed_process_loses_no_attempt_and_holds_nothing(instance: Make) -> None:
    budget = {"b": {"per": "1d", "limit": "100.00 USD"}}
    one = await instance(prices=FREE_INPUT, budgets=budget)
    await one.give("user:ada", Decimal(10))
    await asked(one)
    of, account = await opened(one, max_output=4)
    await account.record(attempt(of, output=2))
    await opened(one, max_output=2)  # it still runs when the process dies
    await one.die()
    other = await instance(prices=FREE_INPUT, budgets=budget)
    stands = await other.ledger.balance("user:ada")
    assert (stands.balance, stands.reserved) == (Decimal(7), Decimal(0))
    assert await other.count() == 2
    assert await other.left() == {"b": (3 * DOLLAR, 0)}
    assert await other.books.teller.recover() == 0


async def test_a_commit_whose_answer_was_lost_is_not_made_twice(
    instance: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = await instance(prices=FREE_INPUT, budgets={"b": {"per": "1d", "limit": "100.00 USD"}})
    await at.give("user:ada", Decimal(10))
    of, account = await opened(at)
    transaction = at.at.outbox.transaction
    lost: list[int] = []

    class Answerless:
        """A transaction that commits, and whose connection breaks before it says so."""

        def __init__(self) -> None:
            self.real = transaction()

        async def __aenter__(self) -> Any:
            return await self.real.__aenter__()

        async def __aexit__(self, *error: Any) -> Any:
            await self.real.__aexit__(*error)
            lost.append(1)
            raise ConnectionResetError

    monkeypatch.setattr("runtime.services.ai.teller.PAUSE", 0.01)
    monkeypatch.setattr(at.at.outbox, "transaction", Answerless)
    await account.record(attempt(of, output=1))
    await account.close()
    async with asyncio.timeout(15):
        while not lost:
            await asyncio.sleep(0.01)
    monkeypatch.setattr(at.at.outbox, "transaction", transaction)
    await at.books.teller.flush()
    stands = await at.ledger.balance("user:ada")
    assert (stands.balance, stands.reserved) == (Decimal(9), Decimal(0))
    assert await at.count() == 1
    assert (await at.left())["b"][0] == DOLLAR


async def test_while_the_database_is_away_money_is_refused_and_attempts_wait(
    instance: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = await instance(prices=FREE_INPUT)
    await at.give("user:ada", Decimal(10))
    of, account = await opened(at)
    monkeypatch.setattr("runtime.services.ai.teller.PAUSE", 0.01)
    transaction = at.at.outbox.transaction

    def away() -> Any:
        raise Unreachable("storage.database", "db", "refused")

    monkeypatch.setattr(at.at.outbox, "transaction", away)
    await account.record(attempt(of, output=1))
    await account.close()
    with pytest.raises(Unreachable):
        await opened(at, max_output=9)
    async with asyncio.timeout(15):
        while (await at.books.health()).status != "degraded":
            await asyncio.sleep(0.01)
    with pytest.raises(Unreachable):
        await at.books.teller.flush()
    monkeypatch.setattr(at.at.outbox, "transaction", transaction)
    async with asyncio.timeout(15):
        while at.books.teller.waiting:
            await asyncio.sleep(0.01)
    assert (await at.ledger.balance("user:ada")).balance == 9


async def test_what_is_held_is_void_before_others_can_have_it(instance: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    at = await instance(prices=FREE_INPUT)
    await at.give("user:ada", Decimal(1000))
    await asked(at)
    (purse,) = at.books.teller._purses.values()
    assert purse.free > 0
    assert at.books.teller.take([purse.fund], 1)
    at.books.teller.release([purse.fund], 1)
    late = purse.valid_until + 1
    monkeypatch.setattr(time, "monotonic", lambda: late)
    assert not at.books.teller.take([purse.fund], 1)
