"""Push messages through a push service that checks and browsers that decrypt."""

from __future__ import annotations

import asyncio
import json
import stat
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from runtime.errors import Fault, Invalid, NotFound
from runtime.services.notifications.adapters.vapid import VapidKeys
from runtime.services.notifications.adapters.webpush import WebPush
from runtime.services.notifications.channels.port import Message, PushContent
from runtime.services.notifications.channels.push import LARGEST, LARGEST_BODY, payload_of
from runtime.services.notifications.devices import MOST, Asked
from runtime.services.notifications.ports import PushSubscription
from runtime.services.notifications.spec import WebPushChannel
from tests.services.notifications.push_service import push_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from tests.services.notifications.push_service import Browser, PushService

NEWS = {"news": {"channels": ["push"]}}


def section(**more: Any) -> WebPushChannel:
    vapid = {"subject": "mailto:ops@example.com"}
    return WebPushChannel.model_validate({"kind": "webpush", "vapid": vapid, "private_endpoints": True, **more})


def asked(browser: Browser, **more: Any) -> Asked:
    shown = browser.subscription()
    return Asked(**{"endpoint": shown["endpoint"], **shown["keys"], **more})


@pytest.fixture
def service() -> Iterator[PushService]:
    with push_service() as made:
        yield made


@pytest.fixture
async def pusher(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Makes the component of a channel, started."""
    async with AsyncExitStack() as ends:

        async def build(*previous: Path, file: Path | None = None, **more: Any) -> WebPush:
            made = WebPush(section(**more), file or tmp_path / "keys" / "vapid.pem", previous)
            await made.start()
            ends.push_async_callback(made.stop)
            return made

        yield build


def subscribed(browser: Browser, pusher: WebPush, **more: Any) -> PushSubscription:
    shown = browser.subscription()
    fields = {"endpoint": shown["endpoint"], **shown["keys"], "vapid_key": pusher.current, **more}
    return PushSubscription("d1", "ada", device="", created_at=datetime.now(UTC), **fields)


def message(**more: Any) -> Message:
    return Message(**{"id": "m1", "to": "d1", "category": "news", "content": PushContent("t", "b"), **more})


async def test_a_browser_reads_what_was_sent(site: Any, service: PushService, pusher: Any) -> None:
    push = await pusher(ttl="1h")
    at = await site(
        NEWS,
        push=push,
    )
    await at.user("ada")
    browser = service.browser()
    device = await at.service.devices.subscribe("ada", asked(browser, device="phone"))
    await at.work()
    told = await at.notify("news", "ada", thing="it", urgency="high")
    receipt = (await at.settled(told))["ada", "push", ""]
    assert (receipt.status, receipt.provider_id) == ("sent", f"{service.origin}/message/1")
    (came,) = service.requests
    shown = browser.opened(came.body)
    assert shown == {"id": receipt.id, "category": "news", "title": "it", "body": "b", "link": None}
    headers = {name: came.headers[name] for name in ("ttl", "urgency", "content-type", "content-encoding")}
    assert headers == {
        "ttl": "3600", "urgency": "high", "content-type": "application/octet-stream", "content-encoding": "aes128gcm",
    }  # fmt: skip
    assert len(came.headers["topic"]) == 32
    assert (came.claims["sub"], came.claims["aud"], came.key) == ("mailto:ops@example.com", service.origin, push.public)
    (kept,) = await at.service.devices.subscriptions("ada")
    assert kept.id == device.id == receipt.address
    assert kept.used_at is not None


async def test_each_push_service_gets_claims_of_its_own(service: PushService, pusher: Any) -> None:
    push = await pusher()
    with push_service() as other:
        for each in (service, other, service):
            assert (await push.push(subscribed(each.browser(), push), b"{}", message())).outcome == "sent"
        assert [each.claims["aud"] for each in service.requests] == [service.origin] * 2
        assert [each.claims["aud"] for each in other.requests] == [other.origin]


@pytest.mark.parametrize("status", [404, 410])
async def test_reference_fault_3_a_dead_subscription_is_deleted_at_once(
    site: Any, service: PushService, pusher: Any, status: int
) -> None:
    """The third fault of the reference: 404 and 410 were tried five times, and the dead subscription was kept."""
    at = await site(NEWS, push=await pusher())
    await at.user("ada")
    gone, there = service.browser("gone"), service.browser("there")
    for each in (gone, there):
        await at.service.devices.subscribe("ada", asked(each))
    service.answers[gone.path] = [(status, {})]
    await at.work()
    told = await at.notify("news", "ada")
    async with asyncio.timeout(20):
        while {"queued", "sending"} & {each.status for each in await at.service.receipts.deliveries(told.id)}:
            await asyncio.sleep(0.01)
    found = await at.service.receipts.deliveries(told.id)
    assert sorted(each.status for each in found) == ["failed", "sent"]
    assert [each.endpoint for each in await at.service.devices.subscriptions("ada")] == [there.origin + there.path]
    assert sum(each.path == gone.path for each in service.requests) == 1  # and was not tried again


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "sent"), (201, "sent"), (202, "sent"), (204, "sent"), (301, "unfit"), (400, "unfit"), (401, "refused"),
     (403, "refused"), (404, "gone"), (408, "later"), (410, "gone"), (413, "unfit"), (429, "later"), (500, "later"),
     (503, "later")],
)  # fmt: skip
async def test_what_an_answer_means(service: PushService, pusher: Any, status: int, outcome: str) -> None:
    push, browser = await pusher(), service.browser()
    elsewhere = {"Location": f"{service.origin}/elsewhere"} if status == 301 else {}
    service.answers[browser.path] = [(status, elsewhere)]
    receipt = await push.push(subscribed(browser, push), b"{}", message())
    assert (receipt.outcome, receipt.down) == (outcome, False)
    assert [each.path for each in service.requests] == [browser.path]
    assert browser.path not in receipt.reason  # an endpoint is a secret
    if outcome != "sent":
        assert receipt.reason == f"{service.origin}: {status} told so"


async def test_who_asks_to_wait_is_not_asked_before(service: PushService, pusher: Any) -> None:
    push, browser = await pusher(), service.browser()
    later = datetime.now(UTC) + timedelta(seconds=600)
    for said in ("600", format_datetime(later.astimezone(UTC), usegmt=True)):
        push._waits.clear()
        service.answers[browser.path] = [(429, {"Retry-After": said})]
        first = await push.push(subscribed(browser, push), b"{}", message())
        assert first.outcome == "later"
        assert 500 < first.after <= 600
        came = len(service.requests)
        second = await push.push(subscribed(service.browser("2"), push), b"{}", message())
        assert (second.outcome, len(service.requests)) == ("later", came)
        assert 500 < second.after <= 600
    with push_service() as other:
        assert (await push.push(subscribed(other.browser(), push), b"{}", message())).outcome == "sent"


async def test_throttled_is_tried_again_and_arrives_once(site: Any, service: PushService, pusher: Any) -> None:
    at = await site(NEWS, push=await pusher())
    await at.user("ada")
    browser = service.browser()
    await at.service.devices.subscribe("ada", asked(browser))
    service.answers[browser.path] = [(429, {"Retry-After": "0"}), (503, {})]
    await at.work()
    receipt = (await at.settled(await at.notify("news", "ada")))["ada", "push", ""]
    assert (receipt.status, receipt.attempts, len(service.requests)) == ("sent", 3, 3)
    assert len({each.headers["topic"] for each in service.requests}) == 1


async def test_who_refuses_us_is_told_to_an_operator(site: Any, service: PushService, pusher: Any) -> None:
    at = await site(NEWS, push=await pusher())
    await at.user("ada")
    browser = service.browser()
    await at.service.devices.subscribe("ada", asked(browser))
    service.answers[browser.path] = [(403, {})]
    await at.work()
    receipt = (await at.settled(await at.notify("news", "ada")))["ada", "push", ""]
    assert receipt.status == "failed"
    health = await at.service.health()
    assert (health.status, "403" in health.reason) == ("degraded", True)
    assert len(await at.service.devices.subscriptions("ada")) == 1  # it is us, not the subscription
    await at.settled(await at.notify("news", "ada", thing="again"))
    assert (await at.service.health()).status == "operational"


async def test_nobody_there_is_tried_later(service: PushService, pusher: Any) -> None:
    push = await pusher()
    with push_service() as ended:
        browser = ended.browser()
    receipt = await push.push(subscribed(browser, push), b"{}", message())
    assert receipt.outcome == "later"
    assert browser.path not in receipt.reason


async def test_the_largest_message_is_as_large_as_it_may_be(service: PushService, pusher: Any) -> None:
    push, browser = await pusher(), service.browser()
    await push.push(subscribed(browser, push), b'"' + b"x" * (LARGEST - 2) + b'"', message())
    assert len(service.requests[0].body) == LARGEST_BODY


@pytest.mark.parametrize("letter", ["a", "é", "語", "😀", '"', "\n"])
def test_a_text_that_is_too_long_is_shortened_to_what_fits(letter: str) -> None:
    content = PushContent("title", letter * 5000)
    payload = payload_of(message(), content)
    assert payload is not None
    assert LARGEST - 4 <= len(payload) <= LARGEST
    body = json.loads(payload)["body"]
    assert body == letter * (len(body) - 1) + "…"


def test_what_is_too_long_without_its_text_is_not_sent() -> None:
    assert payload_of(message(), PushContent("t", "b", more={"icon": "x" * LARGEST})) is None
    exact = payload_of(message(), PushContent("t", ""))
    assert exact is not None
    fits = "x" * (LARGEST - len(exact))
    assert json.loads(payload_of(message(), PushContent("t", fits)) or b"")["body"] == fits


async def test_what_has_expired_is_not_sent(service: PushService, pusher: Any) -> None:
    push, now = await pusher(), datetime.now(UTC)
    past, soon = now - timedelta(seconds=5), now + timedelta(seconds=500)
    assert (await push.push(subscribed(service.browser(), push), b"{}", message(expires_at=past))).outcome == "unfit"
    await push.push(subscribed(service.browser(), push), b"{}", message(expires_at=soon))
    (came,) = service.requests
    assert 400 < int(came.headers["ttl"]) <= 500


async def test_keys_are_replaced_without_losing_a_subscription(
    site: Any, service: PushService, pusher: Any, tmp_path: Path
) -> None:
    push, browser = await pusher(), service.browser()
    file, (old, public) = tmp_path / "keys" / "vapid.pem", (push.current, push.public)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    replaced = file.rename(tmp_path / "old.pem")
    lost = await pusher()
    assert lost.current != old
    receipt = await lost.push(subscribed(browser, push, vapid_key=old), b"{}", message())
    assert (receipt.outcome, service.requests) == ("refused", [])  # an operator has to name the file
    assert push.current == lost.current  # noticed by whoever was there before
    new = await pusher(replaced)
    assert (new.current, new.id_of(public)) == (lost.current, old)
    assert (await new.push(subscribed(browser, new, vapid_key=old), b"{}", message())).outcome == "sent"
    assert (await new.push(subscribed(browser, new), b"{}", message())).outcome == "sent"
    assert [each.key for each in service.requests] == [public, new.public]
    at = await site(NEWS, push=new)
    await at.user("ada")
    devices = at.service.devices
    assert (await devices.subscribe("ada", asked(browser, key=public))).vapid_key == old
    assert (await devices.subscribe("ada", asked(browser))).vapid_key == new.current
    assert len(await devices.subscriptions("ada")) == 1
    with pytest.raises(Invalid, match="none of this server's keys"):
        await devices.subscribe("ada", asked(browser, key="B" * 87))


async def test_a_key_is_rotated_while_it_is_in_use(
    site: Any, service: PushService, pusher: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, another = await pusher(), await pusher()  # as two processes of an environment
    at, old = await site(NEWS, push=one), one.public
    await at.user("ada")
    await at.work()
    await at.service.devices.subscribe("ada", asked(service.browser("1")))
    await at.service.devices.rotate()
    assert one.public == another.public != old
    assert one.id_of(old) == another.id_of(old)
    await at.service.devices.subscribe("ada", asked(service.browser("2")))
    assert list((await at.service.devices.keys()).values()) == [1, 1]
    assert (await at.service.devices.keys()).popitem()[1] == 1
    await at.settled(await at.notify("news", "ada"))
    assert {each.path: each.key for each in service.requests} == {"/push/1": old, "/push/2": one.public}
    assert (await another.push(subscribed(service.browser(), one), b"{}", message())).outcome == "sent"
    await at.service.devices.subscribe("ada", asked(service.browser("1")))  # the browser renews it
    assert await at.service.devices.keys() == {one.current: 2}
    keys = tmp_path / "keys"
    assert {stat.S_IMODE(each.stat().st_mode) for each in keys.iterdir()} == {0o600}
    restarted = await pusher()
    assert (restarted.public, restarted.id_of(old)) == (one.public, one.id_of(old))
    (keys / "vapid.pem").write_text("broken")
    assert restarted.public == one.public  # it goes on with the one that it knows
    assert "no private key in PEM" in caplog.text


async def test_of_many_who_rotate_at_once_no_key_is_lost(pusher: Any) -> None:
    processes = [await pusher() for _ in range(4)]
    seen = {processes[0].public}
    for _ in range(5):
        await asyncio.gather(*[each.rotate() for each in processes])
        seen |= {each.public for each in processes}
    assert all(each.id_of(public) is not None for each in processes for public in seen)
    assert len({each.public for each in processes}) == 1


async def test_a_key_that_cannot_be_replaced_stays(pusher: Any, tmp_path: Path) -> None:
    push = await pusher()
    old = push.public
    (tmp_path / "keys" / ".vapid.pem.lock").mkdir()  # as where the folder is another's
    with pytest.raises(Fault, match=r"cannot be written") as refused:
        await push.rotate()
    assert "vapid.previous" in refused.value.remedy
    assert push.public == old


def test_a_key_that_is_none_is_said(tmp_path: Path) -> None:
    good = tmp_path / "good.pem"
    VapidKeys(good)
    for name, content in (
        ("rsa", _pem(rsa.generate_private_key(65537, 2048))),
        ("p384", _pem(ec.generate_private_key(ec.SECP384R1()))),
        ("text", b"nothing"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Fault, match=name):
            VapidKeys(tmp_path / name)
    with pytest.raises(Fault, match="cannot be read"):
        VapidKeys(good, [tmp_path / "missing.pem"])


def _pem(key: Any) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


OWN = (
    "http://push.example.com/x", "https://127.0.0.1/x", "https://[::1]/x", "https://10.1.2.3/x", "https://localhost/x",
    "https://192.168.0.1:8443/x", "https://169.254.169.254/latest", "https://[::ffff:10.0.0.1]/x", "https://redis/x",
    "https://[fd00::1]/x", "https://[64:ff9b::7f00:1]/x", "https://100.64.0.1/x", "https://a.internal./x",
    "https://user@push.example.com/x", "https://push.example.com:99999/x", "https:///x", "ftp://push.example.com/x",
    "https://push.example.com/a b", "https://push.example.com/\r\nHost: x", "https://p.example.com/" + "x" * 2000,
)  # fmt: skip


async def test_an_endpoint_in_the_own_network_is_refused(site: Any, service: PushService, pusher: Any) -> None:
    push = await pusher(private_endpoints=False)
    at = await site(NEWS, push=push)
    await at.user("ada")
    good = asked(service.browser(), endpoint="https://push.example.com/x")
    assert (await at.service.devices.subscribe("ada", good)).vapid_key == push.current
    for endpoint in OWN:
        with pytest.raises(Invalid) as refused:
            await at.service.devices.subscribe("ada", asked(service.browser(), endpoint=endpoint))
        assert [each.pointer for each in refused.value.errors] == ["/endpoint"], endpoint
        sent = await push.push(subscribed(service.browser(), push, endpoint=endpoint), b"{}", message())
        assert sent.outcome == "unfit"  # also one that got into the database before the spec forbade it


async def test_a_name_that_stands_for_the_own_network_is_not_connected_to(
    service: PushService, pusher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import aiohttp.resolver

    real = aiohttp.resolver.DefaultResolver.resolve

    async def rebound(self: Any, host: str, port: int = 0, family: Any = 0) -> Any:
        return await real(self, "localhost", port, family)

    monkeypatch.setattr(aiohttp.resolver.DefaultResolver, "resolve", rebound)
    port = service.origin.rpartition(":")[2]
    push = await pusher(private_endpoints=False)
    endpoint = f"https://push.example.com:{port}/x"
    receipt = await push.push(subscribed(service.browser(), push, endpoint=endpoint), b"{}", message())
    assert (receipt.outcome, "own network" in receipt.reason) == ("unfit", True)


UNUSABLE: tuple[tuple[dict[str, Any], str], ...] = (
    ({"p256dh": "AAAA"}, "/keys/p256dh"),
    ({"p256dh": "BA" + "A" * 85}, "/keys/p256dh"),
    ({"p256dh": "é"}, "/keys/p256dh"),
    ({"auth": "AAAA"}, "/keys/auth"),
    ({"auth": "!"}, "/keys/auth"),
    ({"key": ""}, "/applicationServerKey"),
    ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "/expirationTime"),
)


async def test_keys_that_cannot_be_used_are_refused(site: Any, service: PushService, pusher: Any) -> None:
    at = await site(NEWS, push=await pusher())
    await at.user("ada")
    for change, pointer in UNUSABLE:
        with pytest.raises(Invalid) as refused:
            await at.service.devices.subscribe("ada", asked(service.browser(), **change))
        assert [each.pointer for each in refused.value.errors] == [pointer]
    assert await at.service.devices.subscriptions("ada") == []


async def test_subscriptions_belong_to_their_users(site: Any, service: PushService, pusher: Any) -> None:
    at = await site(NEWS, push=await pusher())
    for name in ("ada", "bob"):
        await at.user(name)
    devices, browser = at.service.devices, service.browser()
    first = await devices.subscribe("ada", asked(browser))
    with pytest.raises(NotFound):
        await devices.unsubscribe("bob", first.id)
    with pytest.raises(NotFound):
        await devices.subscribe("nobody", asked(browser))
    await devices.subscribe("bob", asked(browser))  # the same browser, another who has signed in
    assert await devices.subscriptions("ada") == []
    await devices.unsubscribe("bob", first.id)
    for number in range(MOST + 2):
        await devices.subscribe("ada", asked(service.browser(str(number))))
    kept = [each.endpoint.rpartition("/")[2] for each in await devices.subscriptions("ada")]
    assert kept == [str(number) for number in range(2, MOST + 2)]


async def test_without_a_push_channel_there_are_no_subscriptions(site: Any, service: PushService) -> None:
    at = await site(NEWS)
    await at.user("ada")
    with pytest.raises(NotFound, match="no channel for push"):
        await at.service.devices.subscribe("ada", asked(service.browser()))
