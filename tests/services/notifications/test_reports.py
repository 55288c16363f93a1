"""Signed callbacks: bounces and complaints change what is recorded, once, and nobody else can tell of them."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Forbidden, Invalid, NotFound
from runtime.services.notifications.channels.port import Callback
from runtime.services.notifications.channels.signature import require_signed, signed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.notifications.site import Site

    Build = Callable[..., Awaitable[Site]]

SECRET = "whsec_c2VjcmV0"


@pytest.fixture
def url() -> str:
    """What differs between databases is asked of both elsewhere: the suite shall stay short."""
    return "sqlite"


def callback(*events: dict[str, Any], id_: str = "c1", secret: str = SECRET, **changed: str) -> Callback:
    body = json.dumps({"events": list(events)}).encode()
    return Callback("https://core.example.com/x", {**signed(secret, id_, body), **changed}, body)


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of https://github.com/standard-webhooks/standard-webhooks, libraries/python/tests."""
    body = b'{"test": 2432232314}'
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert require_signed(Callback("", headers, body), secret, now=1614265330.0) == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    for now in (1614265330.0 + 301, 1614265330.0 - 301):
        with pytest.raises(Forbidden):
            require_signed(Callback("", headers, body), secret, now=now)
    with pytest.raises(Forbidden):
        require_signed(Callback("", headers, body + b" "), secret, now=1614265330.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "another"},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "é"},
        {"webhook-timestamp": "1"},
        {"webhook-timestamp": "x"},
        {"webhook-timestamp": str(int(time.time()) + 1000)},
        {"webhook-id": ""},
    ],
)
async def test_what_is_not_signed_tells_nothing(site: Build, wrong: dict[str, str]) -> None:
    at = await site()
    with pytest.raises(Forbidden):
        await at.service.reports.called("email", callback({"type": "bounce", "address": "a@example.com"}, **wrong))
    assert await at.sql("SELECT address FROM notification_addresses") == []


async def test_a_bounce_and_a_complaint_suppress_the_address(site: Build, post: Any) -> None:
    at = await site()
    for name in ("ada", "bob", "cyd"):
        await at.user(name)
    await at.work()
    first = await at.settled(await at.notify("news", "ada", "bob", "cyd"))
    ids = {who: row.provider_id for (who, kind, _), row in first.items() if kind == "email"}
    told = await at.service.reports.called(
        "email",
        callback(
            {"type": "bounce", "message_id": f"<{ids['ada']}>", "reason": "no such mailbox"},
            {"type": "complaint", "message_id": ids["bob"]},
            {"type": "delivered", "message_id": ids["cyd"]},
        ),
    )
    assert told == 3
    for who, status in (("ada", "bounced"), ("bob", "complained"), ("cyd", "delivered")):
        found = await at.service.receipts.delivery(first[who, "email", ""].id)
        assert found is not None
        assert found.status == status
    second = await at.settled(await at.notify("news", "ada", "bob", "cyd"))
    reasons = {who: row.reason for (who, kind, _), row in second.items() if kind == "email"}
    assert reasons == {"ada": "the address is suppressed", "bob": "the address is suppressed", "cyd": ""}


async def test_a_report_that_is_sent_again_counts_once(site: Build) -> None:
    at = await site(suppression={"bounces": 2})
    same = callback({"type": "bounce", "address": "Eve@example.com"})
    assert [await at.service.reports.called("email", same) for _ in range(3)] == [1, 0, 0]
    assert [tuple(row) for row in await at.sql("SELECT address, bounces FROM notification_addresses")] == [
        ("eve@example.com", 1)
    ]
    await at.service.reports.called("email", callback({"type": "bounce", "address": "eve@example.com"}, id_="c2"))
    ((suppressed,),) = await at.sql("SELECT suppressed_at IS NOT NULL FROM notification_addresses")
    assert suppressed


async def test_a_soft_bounce_is_a_failure_and_no_suppression(site: Build, post: Any) -> None:
    at = await site()
    await at.user("ada")
    await at.work()
    first = (await at.settled(await at.notify("news", "ada")))["ada", "email", ""]
    soft = {"type": "bounce", "permanent": False, "message_id": first.provider_id, "reason": "mailbox full"}
    await at.service.reports.called("email", callback(soft))
    found = await at.service.receipts.delivery(first.id)
    assert found is not None
    assert (found.status, found.reason) == ("failed", "mailbox full")
    assert (await at.settled(await at.notify("news", "ada")))["ada", "email", ""].status == "sent"


async def test_a_suppression_may_run_out(site: Build, post: Any) -> None:
    at = await site(suppression={"ttl": "1s"})
    await at.user("ada")
    await at.work()
    await at.service.reports.called("email", callback({"type": "complaint", "address": "ada@example.com"}))
    assert (await at.settled(await at.notify("news", "ada")))["ada", "email", ""].status == "suppressed"
    await at.sql("UPDATE notification_addresses SET suppressed_until = suppressed_at")
    assert (await at.settled(await at.notify("news", "ada")))["ada", "email", ""].status == "sent"


async def test_what_cannot_be_understood_is_refused(site: Build) -> None:
    at = await site()
    for wrong in ({"type": "opened"}, {}, {"type": "bounce", "address": 7}):
        with pytest.raises(Invalid):
            await at.service.reports.called("email", callback(wrong))
    for channel, said in (("emial", 'Did you mean "email"?'), ("in_app", "")):
        with pytest.raises(NotFound) as refused:
            await at.service.reports.called(channel, callback())
        assert said in refused.value.remedy


async def test_what_becomes_of_deliveries_is_published(site: Build, post: Any) -> None:
    at = await site()
    await at.user("ada")
    await at.work()
    first = (await at.settled(await at.notify("news", "ada")))["ada", "email", ""]
    await at.service.reports.called("email", callback({"type": "bounce", "message_id": first.provider_id}))
    async with asyncio.timeout(10):
        while len(events := await at.events.read("user")) < 2:
            await asyncio.sleep(0.01)
    assert [event.type for event in events] == ["notification.sent", "notification.bounced"]
    assert events[1].data["delivery"] == first.id
