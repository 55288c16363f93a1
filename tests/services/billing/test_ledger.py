"""The ledger: exact, append-only, never below zero unseen; on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import SQLAlchemyError

from runtime.errors import Conflict, Fault, InsufficientCredit, Invalid, NotFound
from runtime.plugins import Mark
from runtime.services.billing.amounts import parse, show
from runtime.services.billing.ports import Kind, Posting, Spender
from runtime.services.events.spec import SubscriptionSpec
from runtime.services.events.subscription import Subscription
from tests.services.outbox.conftest import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.billing.conftest import Books

    Build = Callable[..., Awaitable[Books]]


def posting(amount: str, kind: Kind = "bonus", operation: str = "", account: str = "ada") -> Posting:
    return Posting(account, kind, Decimal(amount), operation or f"test:{random.getrandbits(64)}")


async def test_amounts_are_exact(books: Build) -> None:
    at = await books()
    for amount in ("0.1", "0.2", "0.000000001", "999999999.999999999"):
        await at.ledger.post(posting(amount))
    assert (await at.ledger.balance("ada")).balance == Decimal("1000000000.300000000")
    newest, *_ = await at.ledger.entries("ada")
    assert (newest.amount, newest.balance) == (Decimal("999999999.999999999"), Decimal("1000000000.3"))
    for wrong in ("0.0000000001", "1e12", "NaN", "0", "-1"):
        with pytest.raises(Invalid):
            await at.ledger.post(posting(wrong))
    await at.ledger.post(posting("998999999999"))
    with pytest.raises(Invalid, match="too large to hold"):
        await at.ledger.post(posting("1"))


@pytest.mark.parametrize(("text", "shown"), [("12", "12.00"), ("12.50", "12.50"), ("-0.00125", "-0.00125")])
def test_amounts_are_written_as_they_are_read(text: str, shown: str) -> None:
    assert show(parse(text)) == shown


@pytest.mark.parametrize(
    "text", ["", "1,5", "1e3", "\u0661", " 1", "1.0000000001", "1234567890123", "inf", "+1", "1\n"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is no amount"):
        parse(text)


async def test_nobody_changes_an_entry(books: Build) -> None:
    at = await books()
    await at.ledger.post(posting("1"))
    for statement in ("UPDATE credit_entries SET amount = '2'", "DELETE FROM credit_entries"):
        with pytest.raises(SQLAlchemyError, match="append-only"):
            await at.at.sql(statement)
    assert (await at.ledger.balance("ada")).balance == 1


async def test_an_operation_is_entered_once(books: Build) -> None:
    at, other = await books(), await books()
    wanted = posting("5", "purchase", "op")
    found = await asyncio.gather(*(random.choice([at, other]).ledger.post(wanted) for _ in range(20)))
    assert len({entry.id for entry in found}) == 1
    assert (await at.ledger.balance("ada")).balance == 5
    with pytest.raises(Conflict, match="used for something else"):
        await at.ledger.post(posting("6", "purchase", "op"))
    with pytest.raises(Conflict, match="used for something else"):
        await at.ledger.post(posting("5", "purchase", "op", account="bob"))
    await at.at.relay()
    (told,) = await until(lambda: at.told("payment.received"))
    assert told == {
        "account": "ada", "amount": "5.00", "currency": "USD", "processor": "operator", "reference": "op",
    }  # fmt: skip


async def test_a_debit_by_hand_beyond_the_balance_is_refused(books: Build) -> None:
    at = await books()
    await at.ledger.post(posting("3"))
    with pytest.raises(InsufficientCredit, match=r"3\.01 USD are needed, 3\.00 are available") as refused:
        await at.ledger.post(posting("-3.01", "adjustment"))
    assert refused.value.status == 402
    await at.ledger.post(posting("-3", "adjustment"))
    with pytest.raises(InsufficientCredit):
        await at.ledger.charge("ada", Decimal("0.000000001"), operation="a")
    assert (await at.ledger.balance("ada")).balance == 0


@pytest.mark.parametrize("instances", [1, 3])
async def test_of_a_hundred_calls_with_credit_for_ten_ten_pass(books: Build, instances: int) -> None:
    at = [await books() for _ in range(instances)]
    await at[0].ledger.post(posting("10.5"))

    async def call(number: int) -> bool:
        try:
            if number % 2:
                await at[number % instances].ledger.reserve("ada", Decimal(1))
            else:
                await at[number % instances].ledger.charge("ada", Decimal(1), operation=f"call {number}")
        except InsufficientCredit:
            return False
        return True

    passed = await asyncio.gather(*(call(number) for number in range(100)))
    assert sum(passed) == 10
    stands = await at[0].ledger.balance("ada")
    assert stands.available == Decimal("0.5")
    assert stands.reserved == sum(passed[1::2])


async def test_a_reservation_is_settled_by_what_it_cost(books: Build) -> None:
    at = await books()
    await at.ledger.post(posting("1"))
    held = await at.ledger.reserve("ada", Decimal("0.8"), id="call")
    assert await at.ledger.reserve("ada", Decimal("0.8"), id="call") == held
    with pytest.raises(Conflict):
        await at.ledger.reserve("ada", Decimal("0.1"), id="call")
    with pytest.raises(InsufficientCredit):
        await at.ledger.reserve("ada", Decimal("0.3"))
    entries = await asyncio.gather(*(at.ledger.settle("call", Decimal("0.0125"), reason="ai.chat") for _ in range(5)))
    assert len({entry.id for entry in entries if entry}) == 1
    assert (await at.ledger.balance("ada")).available == Decimal("0.9875")
    with pytest.raises(Conflict, match="settled"):
        await at.ledger.reserve("ada", Decimal("0.8"), id="call")
    with pytest.raises(NotFound):
        await at.ledger.settle("another", Decimal(1))


async def test_a_released_reservation_is_free_again(books: Build) -> None:
    at = await books()
    await at.ledger.post(posting("1"))
    await at.ledger.reserve("ada", Decimal(1), id="call")
    for _ in range(2):
        await at.ledger.release("call")
    assert (await at.ledger.balance("ada")).available == 1
    with pytest.raises(NotFound):
        await at.ledger.settle("call", Decimal(1))
    free = await at.ledger.reserve("ada", Decimal(1))
    assert await at.ledger.settle(free.id, Decimal(0)) is None
    assert (await at.ledger.balance("ada")).available == 1


async def test_a_reservation_expires_and_its_work_is_recorded_all_the_same(books: Build) -> None:
    at = await books()
    await at.ledger.post(posting("1"))
    held = await at.ledger.reserve("ada", Decimal(1), ttl=0.001)
    await until(lambda: _available(at, Decimal(1)))
    await at.ledger.reserve("ada", Decimal(1))
    entry = await at.ledger.settle(held.id, Decimal("1.5"))
    assert entry is not None
    assert entry.balance == Decimal("-0.5")


async def _available(at: Books, amount: Decimal) -> bool:
    return (await at.ledger.balance("ada")).available == amount


async def test_usage_is_recorded_once_and_below_zero_it_is_told(books: Build, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "runtime.billing")
    at = await books()
    await at.ledger.post(posting("1"))
    spec = SubscriptionSpec.model_validate(
        {"stream": "billing", "handler": "billing.usage", "types": ["credits.used"], "retry": {"attempts": 1}}
    )
    mark = Mark("subscriber", "billing.usage", at.ledger.used, once=True)
    subscription = Subscription("sub", spec, mark, at.at.events, inbox=at.at.outbox)
    events = at.at.events
    data = {"account": "ada", "amount": "0.6", "currency": "USD", "reason": "ai.chat", "reference": "call 1"}
    for number in (1, 2, 3):
        event = await events.publish("billing", "credits.used", data, id=f"use {number}")
        for _ in range(2):
            await subscription.handle_once(event)
    stands = await at.ledger.balance("ada")
    assert stands.balance == Decimal("-0.8")
    assert (await at.ledger.health()).details["negative"] == 1
    assert "the account ada is below zero: -0.20 USD" in caplog.text
    newest, *_ = await at.ledger.entries("ada")
    assert (newest.kind, newest.operation, newest.reference) == ("usage", "event:use 3", "call 1")
    await at.at.relay()
    told = await until(lambda: at.told("credits.overdrawn"))
    assert told == [{"account": "ada", "balance": "-0.20", "currency": "USD"}]
    for wrong in ({"amount": "-1"}, {"amount": 0.5e-12}, {"currency": "EUR"}, {"account": None}):
        event = await events.publish("billing", "credits.used", {**data, **wrong})
        with pytest.raises(Fault):
            await subscription.handle_once(event)
    assert (await at.ledger.balance("ada")).balance == stands.balance


async def test_pages_and_the_sum(books: Build) -> None:
    at = await books()
    for number in range(1, 8):
        await at.ledger.post(posting(f"0.{number}"))
    await at.ledger.post(posting("9", account="bob"))
    first = await at.ledger.entries("ada", limit=4)
    rest = await at.ledger.entries("ada", before=first[-1].id, limit=4)
    assert [show(entry.amount) for entry in first + rest] == [f"0.{number}0" for number in range(7, 0, -1)]
    assert sum(entry.amount for entry in first + rest) == (await at.ledger.balance("ada")).balance == first[0].balance


async def test_a_stream_that_does_not_take_its_events_is_told_at_the_start(books: Build) -> None:
    with pytest.raises(Fault, match='the stream "billing" does not take its events') as refused:
        await books({"billing": {"events": {"credits.used": {}}}, "s": {}})
    assert "Declare `payment.received`" in refused.value.remedy


async def test_a_random_history_adds_up(books: Build) -> None:
    at, other = await books(), await books()
    chance = random.Random(7)

    async def step(number: int) -> Any:
        ledger = chance.choice([at, other]).ledger
        amount = Decimal(chance.randrange(1, 10**10)) / 10**9
        try:
            match chance.randrange(4):
                case 0:
                    return await ledger.post(posting(str(amount), "bonus", f"step {number}"))
                case 1:
                    return await ledger.post(posting(str(-amount), "adjustment", f"step {number}"))
                case 2:
                    return await ledger.charge("ada", amount, operation=f"step {number}")
                case _:
                    held = await ledger.reserve("ada", amount)
                    return await ledger.settle(held.id, (amount / 2).quantize(Decimal("1e-9")))
        except InsufficientCredit:
            return None

    await asyncio.gather(*(step(number) for number in range(60)))
    entries = (await at.ledger.entries("ada", limit=200))[::-1]
    running = Decimal(0)
    for entry in entries:
        running += entry.amount
        assert entry.balance == running >= 0
    stands = await at.ledger.balance("ada")
    assert (stands.balance, stands.reserved) == (running, Decimal(0))


# Spenders with a limit of their own


async def test_a_spender_stops_at_its_own_limit(books: Build) -> None:
    at = await books()
    await at.ledger.post(posting("100"))
    key = Spender("key:a", Decimal(10))
    first = await at.ledger.reserve("ada", Decimal(6), spender=key)
    with pytest.raises(InsufficientCredit, match=r"4\.00 are left of the 10\.00"):
        await at.ledger.reserve("ada", Decimal(5), spender=key)
    with pytest.raises(InsufficientCredit):
        await at.ledger.charge("ada", Decimal(5), operation="one", spender=key)
    await at.ledger.settle(first.id, Decimal("2.5"))
    await at.ledger.settle(first.id, Decimal("2.5"))  # again: it has been
    assert await at.ledger.spent("key:a") == Decimal("2.5")
    for _ in range(2):
        await at.ledger.charge("ada", Decimal("7.5"), operation="two", spender=key)
    assert await at.ledger.spent("key:a") == Decimal(10)
    with pytest.raises(InsufficientCredit, match="key"):
        await at.ledger.reserve("ada", Decimal("0.01"), spender=key)
    assert await at.ledger.reserve("ada", Decimal(50), spender=Spender("key:b", Decimal(50)))
    assert await at.ledger.reserve("ada", Decimal(5))  # of nobody in particular
    assert (await at.ledger.balance("ada")).balance == Decimal(90)


async def test_many_at_once_do_not_pass_a_spenders_limit(books: Build) -> None:
    one, two = await books(), await books()
    await one.ledger.post(posting("1000"))
    key = Spender("key:a", Decimal(10))
    calls = [each.ledger.reserve("ada", Decimal(1), spender=key) for each in (one, two) * 25]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(InsufficientCredit) == 40


async def test_what_is_released_can_be_spent(books: Build) -> None:
    at = await books()
    await at.ledger.post(posting("100"))
    key = Spender("key:a", Decimal(10))
    reservation = await at.ledger.reserve("ada", Decimal(10), spender=key)
    await at.ledger.release(reservation.id)
    assert await at.ledger.reserve("ada", Decimal(10), spender=key)
    assert await at.ledger.spent("key:a") == 0
