"""What providers of text messages report, and what recipients answer: signed by Twilio's own library, or not taken."""

from __future__ import annotations

import hashlib
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import jwt
import pytest
from jwt.warnings import InsecureKeyLengthWarning
from twilio.request_validator import RequestValidator

from runtime.errors import Forbidden, Invalid, NotFound
from runtime.services.notifications.adapters.twilio import Twilio
from runtime.services.notifications.adapters.vonage import Vonage
from runtime.services.notifications.channels.port import Callback, Receipt
from runtime.services.notifications.channels.sms import STARTS, STOPS, wish_of
from runtime.services.notifications.channels.spec import TwilioChannel, VonageChannel
from runtime.services.notifications.store import deliveries
from runtime.services.notifications.store.deliveries import Outcome
from tests.services.notifications.sms_provider import KEY, SIGNING, TOKEN, sms_provider

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from runtime.services.notifications.ports import Delivery
    from tests.services.notifications.site import Site
    from tests.services.notifications.sms_provider import SmsProvider

    Build = Callable[..., Awaitable[Site]]

ADA = "+436601234567"
NEWS = {"news": {"channels": ["sms"]}}
ADDRESS = "https://core.example.com/v1/notifications/callbacks/sms"


@pytest.fixture
def url() -> str:
    """What differs between databases is asked of both elsewhere: the suite shall stay short."""
    return "sqlite"


@pytest.fixture
def provider() -> Iterator[SmsProvider]:
    with sms_provider() as made:
        yield made


def twilio(url: str = ADDRESS, *, token: str = TOKEN, algorithm: str = "HMAC_SHA1", **form: str) -> Callback:
    """A form that Twilio's library has signed."""
    signature = RequestValidator(token).compute_signature(url, form, algorithm)
    headers = {"x-twilio-signature": signature}
    if algorithm != "HMAC_SHA1":
        headers["x-twilio-webhooks-signature-settings"] = f"key=webhooks_sharedkey_1,algorithm={algorithm}"
    return Callback(url, headers, urlencode(form).encode())


def vonage(body: Any, *, secret: str = SIGNING, digest: str | None = None, **claims: Any) -> Callback:
    """An object that is signed as Vonage signs."""
    content = json.dumps(body).encode()
    given = {
        "iat": int(time.time()), "jti": "j", "iss": "Vonage", "api_key": KEY,
        "payload_hash": digest or hashlib.sha256(content).hexdigest(), **claims,
    }  # fmt: skip
    token = jwt.encode({name: value for name, value in given.items() if value is not None}, secret, "HS256")
    return Callback(ADDRESS, {"authorization": f"Bearer {token}"}, content)


async def one(at: Site) -> Delivery:
    """The receipt of a text message to Ada."""
    return (await at.settled(await at.notify("news", "ada")))["ada", "sms", ""]


async def status(at: Site, receipt: Delivery) -> tuple[str, str]:
    found = await at.service.receipts.delivery(receipt.id)
    assert found is not None
    return found.status, found.reason


async def started(site: Build, section: dict[str, Any]) -> Site:
    at = await site(NEWS, declared={"sms": section})
    await at.user("ada", ADA)
    await at.work("sms")
    return at


async def test_what_twilio_reports_goes_forward_only_and_counts_once(site: Build, provider: SmsProvider) -> None:
    at = await started(site, provider.twilio())
    first, second = await one(at), await one(at)
    called = at.service.reports.called

    def reported(receipt: Delivery, state: str, **more: str) -> Callback:
        assert receipt.provider_id is not None
        given = {"MessageSid": receipt.provider_id, "MessageStatus": state, "To": ADA, **more}
        return twilio(f"{ADDRESS}?delivery={receipt.id}", **given)

    assert await called("sms", reported(first, "delivered")) == 1
    for late in ("queued", "sent", "undelivered"):  # they have overtaken one another
        await called("sms", reported(first, late, ErrorCode="30003"))
    assert await status(at, first) == ("delivered", "")
    assert await called("sms", reported(first, "delivered")) == 0
    assert await called("sms", reported(second, "undelivered", ErrorCode="30003")) == 1
    assert await status(at, second) == ("failed", "undelivered 30003")
    await called("sms", reported(second, "delivered"))
    assert (await status(at, second))[0] == "failed"
    third = await one(at)
    assert await called("sms", reported(third, "undelivered", ErrorCode="30006")) == 1
    assert (await status(at, third))[0] == "bounced"
    assert (await one(at)).reason == "the address is suppressed"


async def test_a_report_may_come_before_the_answer_is_noted(site: Build, provider: SmsProvider) -> None:
    at = await started(site, provider.twilio())
    receipt, other = await one(at), await one(at)
    forgotten = "status = 'sending', claim = 'j', provider_id = NULL, details = NULL"
    await at.sql(f"UPDATE notification_deliveries SET {forgotten}")
    early = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": ADA}
    assert await at.service.reports.called("sms", twilio(f"{ADDRESS}?delivery={receipt.id}", **early)) == 1
    async with at.outbox.transaction() as tx:  # written together, as those are that end at one moment
        answers = [(receipt, Receipt("sent", "SM1", details={"segments": 1})), (other, Receipt("sent", "SM2"))]
        outcomes = [Outcome(each, "sent", "", "sms", answer) for each, answer in answers]
        await deliveries.record(tx.connection, outcomes, datetime.now(UTC))
    found, second = [await at.service.receipts.delivery(each.id) for each in (receipt, other)]
    assert found is not None
    assert second is not None
    assert (found.status, found.provider_id, found.details) == ("delivered", "SM1", {"segments": 1})
    assert (second.status, second.provider_id, second.details) == ("sent", "SM2", {})


async def test_stop_and_start_are_honoured_whoever_carries_them(site: Build, provider: SmsProvider) -> None:
    at = await site(
        {**NEWS, "other": {"channels": ["vonage"]}},
        declared={
            "sms": provider.twilio(stop_words=["Arrêt"]), "vonage": provider.vonage(),
            "any": provider.generic(region="AT"),
        },
    )  # fmt: skip
    await at.user("ada", ADA)
    await at.work("sms")
    called = at.service.reports.called
    number = 0

    async def said(text: str, channel: str = "sms", **more: str) -> None:
        nonlocal number
        number += 1
        if channel == "sms":
            await called("sms", twilio(MessageSid=f"SM{number}", From=ADA, Body=text, SmsStatus="received", **more))
        elif channel == "vonage":
            answer = {"message_uuid": f"m{number}", "channel": "sms", "from": ADA[1:], "text": text}
            await called("vonage", vonage({**answer, "message_type": "text", "to": "12025550101"}))
        else:
            await at.reported("any", {"type": "received", "address": "0660 1234567", "text": text}, id_=f"c{number}")

    for stop, channel, more in (
        ("STOP", "sms", {}), (" stop. ", "vonage", {}), ("Unsubscribe", "any", {}), ("ARRÊT", "sms", {}),
        ("laisse-moi", "sms", {"OptOutType": "STOP"}),
    ):  # fmt: skip
        await said(stop, channel, **more)
        assert (await one(at)).reason == "the address is suppressed"
        await said("Where is my parcel? Do not stop.", channel)
        assert (await one(at)).reason == "the address is suppressed"
        await said("Start", channel)
        assert (await one(at)).status == "sent"
    same = twilio(MessageSid="SM0", From=ADA, Body="STOP")
    assert [await called("sms", same) for _ in range(3)] == [1, 0, 0]
    # The job of a code for a phone does not pass either: the provider would refuse it.
    job = await at.job("sms", to=[ADA], body="code")
    assert (job.status, job.error) == ("failed", f"{ADA}: refused for good: the address is suppressed")


async def test_what_the_provider_knows_of_a_stop_is_taken_over(site: Build, provider: SmsProvider) -> None:
    at = await started(site, provider.vonage())
    receipt = await one(at)
    error = {"type": "https://developer.vonage.com/api-errors/messages#1240", "title": 1240, "detail": "Illegal Number"}
    told = {"message_uuid": receipt.provider_id, "to": ADA[1:], "status": "rejected", "client_ref": receipt.id}
    assert await at.service.reports.called("sms", vonage({**told, "error": error})) == 1
    assert await status(at, receipt) == ("failed", "rejected 1240 Illegal Number")
    assert (await one(at)).reason == "the address is suppressed"


async def test_vonage_and_generic_reports(site: Build, provider: SmsProvider) -> None:
    at = await site(
        {"one": {"channels": ["vonage"]}, "two": {"channels": ["any"]}},
        declared={"vonage": provider.vonage(), "any": provider.generic()},
    )
    await at.user("ada", ADA)
    await at.work("sms")
    vonages = (await at.settled(await at.notify("one", "ada")))["ada", "sms", ""]
    others = (await at.settled(await at.notify("two", "ada")))["ada", "sms", ""]
    for state in ("submitted", "delivered", "rejected"):
        await at.service.reports.called("vonage", vonage({"message_uuid": vonages.provider_id, "status": state}))
    assert await status(at, vonages) == ("delivered", "")
    failed = {"type": "failed", "message_id": others.provider_id, "reason": "out\nof reach"}
    assert await at.reported("any", failed) == 1
    assert await at.reported("any", failed) == 0
    assert await status(at, others) == ("failed", "out of reach")
    # A report of another channel does not reach them, whatever it names.
    assert await at.reported("any", {"type": "failed", "message_id": vonages.provider_id}, id_="c2") == 1
    assert (await status(at, vonages))[0] == "delivered"


TWILIO = {
    "kind": "http", "provider": "twilio", "account": "AC1", "token": TOKEN, "from": "+12025550100",
}  # fmt: skip
VONAGE = {"kind": "http", "provider": "vonage", "key": KEY, "secret": "s", "from": "Core"}


@pytest.mark.parametrize(
    "url",
    [
        ADDRESS,
        f"{ADDRESS}?delivery=1",
        "https://core.example.com:443/v1/notifications/callbacks/sms",
        "http://10.0.0.7:8080/v1/notifications/callbacks/sms?delivery=1",
    ],
    ids=["as it is", "with a query", "with its port", "behind a proxy"],
)
@pytest.mark.parametrize("algorithm", ["HMAC_SHA1", "HMAC_SHA256"])
def test_what_twilio_signs_is_taken_and_nothing_else(url: str, algorithm: str) -> None:
    channel = Twilio(TwilioChannel.model_validate(TWILIO), ADDRESS)
    form = {"MessageSid": "SM1", "MessageStatus": "delivered", "Body": "é & +", "Empty": ""}
    outside = f"{ADDRESS}{'?delivery=1' if '?' in url else ''}"
    good = twilio(outside, algorithm=algorithm, **form)
    assert RequestValidator(TOKEN).validate(outside, form, good.headers["x-twilio-signature"], algorithm)
    assert [each.event for each in channel.reports(Callback(url, good.headers, good.body))] == ["delivered"]
    for wrong in (
        twilio(outside, token="another", algorithm=algorithm, **form),
        Callback(url, {}, good.body),
        Callback(url, {**good.headers, "x-twilio-signature": "é"}, good.body),
        Callback(url, good.headers, good.body.replace(b"delivered", b"undelivered")),
        Callback(url + ("&" if "?" in url else "?") + "x=1", good.headers, good.body),
    ):
        with pytest.raises(Forbidden):
            channel.reports(wrong)


def test_what_vonage_signs_is_taken_and_nothing_else() -> None:
    channel = Vonage(VonageChannel.model_validate({**VONAGE, "callback_secret": SIGNING}), ADDRESS)
    told = {"message_uuid": "m", "status": "delivered"}
    assert [each.event for each in channel.reports(vonage(told))] == ["delivered"]
    unsigned = jwt.encode({"iat": int(time.time())}, "", "none")
    good, other = vonage(told), vonage({**told, "status": "rejected"})
    for wrong in (
        vonage(told, secret="another" * 5),
        vonage(told, iat=int(time.time()) - 400),
        vonage(told, iat=int(time.time()) + 400),
        vonage(told, iat="soon"),
        vonage(told, iat=None),
        vonage(told, payload_hash=None),
        vonage(told, digest="é"),
        vonage(told, api_key="another"),
        Callback(ADDRESS, good.headers, other.body),
        Callback(ADDRESS, {}, good.body),
        Callback(ADDRESS, {"authorization": f"Bearer {unsigned}"}, good.body),
    ):
        with pytest.raises(Forbidden):
            channel.reports(wrong)
    short = Vonage(VonageChannel.model_validate({**VONAGE, "callback_secret": "short"}), ADDRESS)
    with pytest.warns(InsecureKeyLengthWarning):  # of who signs; who reads has not chosen it
        signed = vonage(told, secret="short")
    assert [each.event for each in short.reports(signed)] == ["delivered"]
    with pytest.raises(NotFound, match="takes no reports"):
        Vonage(VonageChannel.model_validate(VONAGE), ADDRESS).reports(vonage(told))


def test_what_cannot_be_understood_is_refused_and_what_is_not_asked_for_is_nothing() -> None:
    twilios = Twilio(TwilioChannel.model_validate(TWILIO), ADDRESS)
    vonages = Vonage(VonageChannel.model_validate({**VONAGE, "callback_secret": SIGNING}), ADDRESS)
    with pytest.raises(Invalid):
        twilios.reports(twilio(MessageStatus="delivered"))
    odd: Any
    for odd in ([], 7, None, {"status": "delivered"}, {"message_uuid": {}}):
        with pytest.raises(Invalid):
            vonages.reports(vonage(odd))
    assert vonages.reports(vonage({"message_uuid": "m", "channel": "sms", "from": "1"})) == []
    assert twilios.reports(twilio(MessageSid="SM1", Body="STOP")) == []
    assert twilios.reports(twilio(MessageSid="SM1", From=ADA, Body="Hello")) == []


def test_only_a_whole_answer_stops() -> None:
    assert {wish_of(f" {word.title()}! ") for word in STOPS} == {"stopped"}
    assert {wish_of(word.upper()) for word in STARTS} == {"started"}
    for other in ("", "stop it", "please stop", "the end", "help", "no", "🛑"):
        assert wish_of(other) is None
