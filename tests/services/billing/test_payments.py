"""Signed payment callbacks: Stripe's scheme, as https://docs.stripe.com/webhooks describes it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Invalid, NotFound
from runtime.services.billing.adapters.stripe import Stripe
from tests.services.billing.conftest import SECRET
from tests.services.outbox.conftest import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.billing.conftest import Books

    Build = Callable[..., Awaitable[Books]]


def sign(body: bytes, *, secret: str = SECRET, at: float | None = None, scheme: str = "v1") -> str:
    moment = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},{scheme}={digest}"


def intent(event: str = "evt_1", payment: str = "pi_1", **more: Any) -> bytes:
    told = {"id": payment, "amount_received": 1250, "currency": "usd", "metadata": {"account": "ada"}, **more}
    return json.dumps({"id": event, "type": "payment_intent.succeeded", "data": {"object": told}}).encode()


def session(event: str = "evt_2", payment: str = "pi_1", **more: Any) -> bytes:
    told = {
        "id": "cs_1", "payment_intent": payment, "payment_status": "paid", "amount_total": 1250, "currency": "usd",
        "client_reference_id": "ada", **more,
    }  # fmt: skip
    return json.dumps({"id": event, "type": "checkout.session.completed", "data": {"object": told}}).encode()


def test_the_signature_is_that_of_the_documentation() -> None:
    """The figures were computed with openssl: printf '1700000000.{}' | openssl dgst -sha256 -hmac whsec_of_tests"""
    digest = "20d2505e7d6a1a7afa002b107b81ff039e9a8bb15d74a3ac0a74452536cdccca"
    processor = Stripe(SECRET, 10.0**12)
    with pytest.raises(Invalid, match="no event of Stripe's"):  # signed, and empty
        processor.read(f"t=1700000000,v1={digest}", b"{}")
    with pytest.raises(Invalid, match="no signature fits"):
        processor.read(f"t=1700000001,v1={digest}", b"{}")


def test_one_of_several_signatures_is_enough() -> None:
    body = intent()
    other, mine = sign(body, secret="whsec_old"), sign(body)
    received = Stripe(SECRET, 300.0).read(f"{other}, {mine.partition(',')[2]}", body)
    assert received.payment is not None
    assert received.payment.amount == Decimal("12.5")


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        (None, "it needs `t` and `v1`"),
        ("", "it needs `t` and `v1`"),
        ("nonsense", "it needs `t` and `v1`"),
        ("t=soon,v1=ab", "it needs `t` and `v1`"),
        (sign(intent(), scheme="v0"), "it needs `t` and `v1`"),
        (sign(intent(), secret="whsec_other"), "no signature fits"),
        (sign(intent() + b" "), "no signature fits"),
        (sign(intent(), at=time.time() - 301), "its time is not within 300 s"),
        (sign(intent(), at=time.time() + 86_400), "its time is not within 300 s"),
        ("t=1,v1=é", "it needs `t` and `v1`"),
    ],
    ids=["none", "empty", "words", "no time", "old scheme", "other secret", "other body", "old", "ahead", "no ascii"],
)
async def test_what_stripe_did_not_sign_is_refused(books: Build, signature: str | None, said: str) -> None:
    at = await books()
    with pytest.raises(Invalid, match=said) as refused:
        await at.ledger.callback("stripe", signature, intent())
    assert SECRET not in str(refused.value)
    assert (await at.ledger.balance("ada")).balance == 0
    assert await at.at.sql("SELECT * FROM inbox") == []


async def test_a_payment_is_credited_once_and_published_once(books: Build) -> None:
    at, other = await books(), await books()
    body = intent()
    results = await asyncio.gather(*(each.ledger.callback("stripe", sign(body), body) for each in [at, other] * 10))
    assert sorted(results) == ["known"] * 19 + ["recorded"]
    assert await at.ledger.callback("stripe", sign(session()), session()) == "known"  # the same payment, another event
    assert (await at.ledger.balance("ada")).balance == Decimal("12.5")
    await at.at.relay()
    told = await until(lambda: at.told("payment.received"))
    assert told == [
        {"account": "ada", "amount": "12.50", "currency": "USD", "processor": "stripe", "reference": "pi_1"}
    ]
    next_ = intent("evt_3", "pi_2")
    assert await at.ledger.callback("stripe", sign(next_), next_) == "recorded"
    await until(lambda: _two(at))


async def _two(at: Books) -> bool:
    return len(await at.told("payment.received")) == 2


@pytest.mark.parametrize(
    "body",
    [
        intent(metadata={}),
        session(payment_status="unpaid"),
        session(payment_intent=None),
        json.dumps({"id": "evt", "type": "customer.created", "data": {"object": {}}}).encode(),
    ],
)
async def test_what_is_no_payment_of_ours_is_left_alone(books: Build, body: bytes) -> None:
    at = await books()
    assert await at.ledger.callback("stripe", sign(body), body) == "ignored"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"\xff", intent(amount_received=1.5), intent(amount_received=True),
             intent(currency=None), intent(amount_received=0), intent(amount_received=-5),
             intent(metadata={"account": "x" * 300})],
)  # fmt: skip
async def test_what_is_signed_and_unusable_is_refused(books: Build, body: bytes) -> None:
    at = await books()
    with pytest.raises(Invalid):
        await at.ledger.callback("stripe", sign(body), body)
    assert await at.at.sql("SELECT * FROM credit_entries") == []


@pytest.mark.parametrize(
    ("currency", "minor", "amount"), [("usd", 1250, "12.5"), ("jpy", 1250, "1250"), ("kwd", 1250, "1.25")]
)
def test_minor_units(currency: str, minor: int, amount: str) -> None:
    body = intent(currency=currency, amount_received=minor)
    payment = Stripe(SECRET, 300.0).read(sign(body), body).payment
    assert payment is not None
    assert (payment.amount, payment.currency) == (Decimal(amount), currency.upper())


async def test_another_currency_and_another_processor_are_refused(books: Build) -> None:
    at = await books()
    body = intent(currency="eur")
    with pytest.raises(Invalid, match="is in EUR, credits are in USD"):
        await at.ledger.callback("stripe", sign(body), body)
    with pytest.raises(NotFound, match='no payment processor "strype"') as refused:
        await at.ledger.callback("strype", sign(body), body)
    assert refused.value.remedy == 'Did you mean "stripe"?'
