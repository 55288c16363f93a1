"""Text messages through providers that take nothing wrong: what is asked of them, and what their answers do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from twilio.rest import Client

from runtime.errors import Fault, Invalid
from runtime.services.notifications.adapters.generic_sms import GenericSms
from runtime.services.notifications.channels.spec import GenericSmsChannel
from runtime.services.notifications.ports import Audience
from tests.services.notifications.site import Site, write
from tests.services.notifications.sms_provider import ACCOUNT, TOKEN, sms_provider, twilio_error, vonage_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from runtime.services.notifications.ports import Delivery
    from tests.services.notifications.sms_provider import SmsProvider

    Build = Callable[..., Awaitable[Site]]

ADA, BOB = "+436601234567", "+12025550123"
NEWS = {"news": {"channels": ["sms"]}}


@pytest.fixture
def url() -> str:
    """What differs between databases is asked of both elsewhere: the suite shall stay short."""
    return "sqlite"


@pytest.fixture
def provider() -> Iterator[SmsProvider]:
    with sms_provider() as made:
        yield made


async def texted(at: Site, *users: str, **more: Any) -> dict[str, Delivery]:
    """The receipts of a text message, by user."""
    found = await at.settled(await at.notify("news", *users, **more))
    return {who: receipt for (who, kind, _), receipt in found.items() if kind == "sms"}


async def test_twilio_gets_what_its_own_library_would_send(site: Build, provider: SmsProvider) -> None:
    at = await site(NEWS, declared={"sms": provider.twilio()})
    await at.user("ada", ADA)
    await at.work()
    receipt = (await texted(at, "ada"))["ada"]
    client = Client(ACCOUNT, TOKEN)
    client.api.base_url = provider.origin
    callback = f"https://core.example.com/v1/notifications/callbacks/sms?delivery={receipt.id}"
    made = await asyncio.to_thread(
        client.messages.create, to=ADA, from_="+12025550100", body="news", status_callback=callback
    )
    ours, theirs = provider.sent
    assert ours.fields == theirs.fields
    assert made.sid == theirs.id
    assert (receipt.status, receipt.provider, receipt.provider_id) == ("sent", "sms", ours.id)
    assert receipt.details == {"segments": 1, "encoding": "GSM-7"}


async def test_twilio_with_an_api_key_and_a_messaging_service(site: Build, provider: SmsProvider) -> None:
    service = "MG" + "1" * 32
    section = provider.twilio(api_key="SK1", token="key-secret", **{"from": service})
    at = await site(NEWS, declared={"sms": section})
    await at.user("ada", ADA)
    await at.work()
    assert (await texted(at, "ada"))["ada"].status == "sent"
    assert provider.sent[0].fields["MessagingServiceSid"] == service
    # What signs the reports is not known without `callback_secret`, so that none are asked for.
    assert "StatusCallback" not in provider.sent[0].fields


async def test_vonage_and_any_other_are_asked_in_their_own_way(site: Build, provider: SmsProvider) -> None:
    form = {
        "content_type": "application/x-www-form-urlencoded",
        "body": "to={{ to | urlencode }}&text={{ text | urlencode }}",
    }
    query = {"method": "GET", "body": "to={{ to | urlencode }}&text={{ text | urlencode }}&ref={{ id }}"}
    told = {
        "one": provider.vonage(),
        "two": provider.generic(),
        "three": provider.generic(**form),
        "four": provider.generic(**query),
    }
    at = await site({name: {"channels": [name]} for name in told}, declared=told)
    await at.user("ada", ADA)
    await at.work()
    ids = {}
    for name in told:
        (receipt,) = (await at.settled(await at.notify(name, "ada", thing='5 € & "more"'))).values()
        assert (receipt.status, receipt.reason, receipt.details["segments"]) == ("sent", "", 1)
        ids[name] = receipt
    vonage, json_, form_, query_ = provider.sent
    assert vonage.fields == {
        "message_type": "text", "channel": "sms", "to": ADA[1:], "from": "12025550101", "text": '5 € & "more"',
        "client_ref": ids["one"].id, "webhook_version": "v1",
        "webhook_url": "https://core.example.com/v1/notifications/callbacks/one",
    }  # fmt: skip
    assert json_.fields == {"to": ADA, "from": "Core", "text": '5 € & "more"', "id": ids["two"].id}
    assert form_.fields == {"to": ADA, "text": '5 € & "more"'}
    assert query_.fields == {"to": ADA, "text": '5 € & "more"', "ref": ids["four"].id}
    assert [ids[name].provider_id for name in told] == [each.id for each in provider.sent]


async def test_numbers_without_an_account(site: Build, provider: SmsProvider) -> None:
    at = await site({"news": {"channels": ["in_app", "sms", "email"]}}, declared={"sms": provider.twilio()})
    await at.user("ada", ADA)
    await at.work()
    to = Audience(users=("ada",), emails=("bob@example.com",), phones=("+1 (202) 555-0123", BOB))
    receipts = await at.settled(await at.notify("news", to=to))
    assert sorted(provider.numbers) == sorted([ADA, BOB])
    bob = f"phone:{BOB}"
    assert (receipts[bob, "sms", ""].status, receipts[bob, "email", ""].reason) == ("sent", "no address")
    assert (bob, "in_app", "") not in receipts
    later = Audience(phones=(ADA, BOB), topic="none")  # worked off by the queue
    receipts = await at.settled(await at.notify("news", to=later))
    assert {who for who, kind, _ in receipts if kind == "sms"} == {f"phone:{ADA}", bob}
    assert len(provider.sent) == 4
    with pytest.raises(Invalid, match="it names no country"):
        await at.notify("news", to=Audience(phones=("0660 1234567",)))


ANSWERS = {
    "answers": {
        "id": "message.id",
        "reason": "message.said",
        "code": "code",
        "codes": {"6": "permanent", "9": "stopped"},
        "statuses": {"404": "permanent"},
    }
}
REFUSALS: dict[str, list[tuple[Any, str, str]]] = {
    "twilio": [
        (twilio_error(21211), "bounced", "400 21211 no"),
        (twilio_error(21614), "bounced", "400 21614 no"),
        (twilio_error(21610), "suppressed", "400 21610 no"),
        (twilio_error(21612), "failed", "400 21612 no"),
        (twilio_error(21408), "failed", "400 21408 no"),
    ],
    "vonage": [
        (vonage_error(1170), "bounced", "422 1170 No: no"),
        ((422, {"title": "Bad", "invalid_parameters": [{"name": "to"}]}, {}), "bounced", "422 Bad"),
        (vonage_error(1240), "suppressed", "422 1240 No: no"),
        (vonage_error(1210), "failed", "422 1210 No: no"),
    ],
    "generic": [
        ((404, {}, {}), "bounced", "404"),
        ((200, {"code": 6, "message": {"said": "barred\nhere"}}, {}), "bounced", "200 6 barred here"),
        ((200, {"code": "9"}, {}), "suppressed", "200 9"),
        ((418, [1], {}), "failed", "418"),
        ((400, {"code": "x" * 400}, {}), "failed", f"400 {'x' * 296}"),
    ],
}


@pytest.mark.parametrize("kind", REFUSALS)
async def test_a_refusal_of_a_number_suppresses_it_and_any_other_does_not(
    site: Build, provider: SmsProvider, kind: str
) -> None:
    more = ANSWERS if kind == "generic" else {}
    at = await site(NEWS, declared={"sms": getattr(provider, kind)(**more)})
    wanted = {}
    for place, (answer, status, reason) in enumerate(REFUSALS[kind]):
        number = f"+4366012345{place:02}"
        wanted[await at.user(f"u{place}", number)] = (status, reason, 1)
        provider.answers[number] = [answer] * 2
    await at.work("sms")
    found = await texted(at, *wanted)
    assert {who: (each.status, each.reason.strip(), each.attempts) for who, each in found.items()} == wanted
    again = await texted(at, *wanted)
    for who, (status, reason, _) in wanted.items():
        assert again[who].reason.strip() == (reason if status == "failed" else "the address is suppressed")
        assert len(provider.answers[found[who].address]) == (0 if status == "failed" else 1)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("twilio", twilio_error(20429, 429)),
        ("twilio", twilio_error(20500, 500)),
        ("vonage", vonage_error(1000, 429)),
        ("vonage", vonage_error(1030, 422)),
        ("generic", (503, {}, {})),
    ],
    ids=["twilio throttles", "twilio fails", "vonage throttles", "vonage fails", "generic fails"],
)
async def test_what_may_pass_is_tried_again(site: Build, provider: SmsProvider, kind: str, answer: Any) -> None:
    at = await site(NEWS, declared={"sms": getattr(provider, kind)()})
    await at.user("ada", ADA)
    await at.work("sms")
    provider.answers[ADA] = [answer]
    receipt = (await texted(at, "ada"))["ada"]
    assert (receipt.status, receipt.attempts, provider.numbers) == ("sent", 2, [ADA])


async def test_a_provider_that_asks_to_wait_is_left_alone_by_all(site: Build, provider: SmsProvider) -> None:
    at = await site(NEWS, declared={"sms": provider.twilio()})
    await at.user("ada", ADA)
    await at.user("bob", BOB)
    await at.work("sms")
    provider.answers[ADA] = [twilio_error(20429, 429, Retry_After="2")]
    first = await at.notify("news", "ada")
    async with asyncio.timeout(10):
        while (row := (await at.receipts(first))["ada", "sms", ""]).reason == "":
            await asyncio.sleep(0.01)
    assert row.reason == "429 20429 no"
    receipt = (await texted(at, "bob"))["bob"]
    assert (receipt.status, receipt.attempts) == ("sent", 2)
    assert (await at.settled(first))["ada", "sms", ""].status == "sent"
    health = await at.gateways["sms"].health()
    assert health.details["came"] == {"later": 1, "sent": 2}


async def test_a_provider_that_says_nothing_is_asked_again(site: Build, provider: SmsProvider) -> None:
    at = await site(NEWS, declared={"sms": provider.twilio(timeout="300ms")})
    await at.user("ada", ADA)
    await at.work("sms")
    provider.answers[ADA] = ["silence"]
    receipt = (await texted(at, "ada"))["ada"]
    assert (receipt.status, receipt.attempts) == ("sent", 2)


async def test_a_report_saves_the_second_copy_of_a_message_whose_answer_was_lost(
    site: Build, provider: SmsProvider
) -> None:
    at = await site(
        NEWS,
        declared={"sms": provider.generic(timeout="300ms")},
        retry={"attempts": 3, "backoff": "1h", "jitter": False},
    )
    await at.user("ada", ADA)
    await at.work("sms")
    provider.answers[ADA] = ["taken, silence"]
    first = await at.notify("news", "ada")
    async with asyncio.timeout(10):
        while (row := (await at.receipts(first))["ada", "sms", ""]).reason == "":
            await asyncio.sleep(0.01)
    assert (row.status, row.reason) == ("queued", "the provider does not answer (no answer in time)")
    assert await at.reported("sms", {"type": "delivered", "delivery": row.id, "message_id": "g0"}) == 1
    assert (await at.receipts(first))["ada", "sms", ""].status == "delivered"
    assert await at.service.courier.deliver("j", [row.id]) == {}
    assert provider.numbers == [ADA]


@pytest.mark.parametrize("kind", ["twilio", "vonage", "generic"])
async def test_a_wrong_password_is_told_and_costs_no_message(site: Build, provider: SmsProvider, kind: str) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "twilio": {"token": "no"}, "vonage": {"secret": "no"}, "generic": {"headers": {"Authorization": "no"}},
    }  # fmt: skip
    at = await site(
        NEWS, declared={"sms": getattr(provider, kind)(**wrong[kind])}, breaker={"failures": 9, "cooldown": "1s"},
        retry={"attempts": 99, "backoff": "50ms", "jitter": False, "max": "50ms"},
    )  # fmt: skip
    await at.user("ada", ADA)
    await at.work("sms")
    sent = await at.notify("news", "ada")
    async with asyncio.timeout(10):
        while (health := await at.service.health()).status != "degraded":
            await asyncio.sleep(0.01)
    assert health.reason.startswith("a provider refuses us: sms: 401")
    right = {"twilio": {"token": TOKEN}, "vonage": {"secret": "vonage-secret"}}
    await at.gateways["sms"].update(right.get(kind) or {"headers": {"Authorization": "Bearer generic-token"}})
    assert (await at.settled(sent))["ada", "sms", ""].status == "sent"
    assert (await at.service.health()).status == "operational"


async def test_a_backup_takes_over_what_the_first_provider_cannot(site: Build, provider: SmsProvider) -> None:
    with sms_provider() as other:
        at = await site(
            NEWS,
            declared={"sms": provider.twilio(fallback=["spare"]), "spare": other.vonage()},
            breaker={"failures": 2, "cooldown": "1h"},
        )
        await at.user("ada", ADA)
        await at.user("bob", BOB)
        await at.work("sms")
        provider.answers[BOB] = [twilio_error(21211)]
        receipt = (await texted(at, "bob"))["bob"]  # what is refused for its number is not asked of another
        assert (receipt.status, receipt.provider, other.sent) == ("bounced", "sms", [])
        provider.answers[ADA] = [twilio_error(20500, 500)] * 3
        for _ in range(3):
            receipt = (await texted(at, "ada"))["ada"]
            assert (receipt.status, receipt.provider, receipt.attempts) == ("sent", "spare", 1)
        assert len(provider.answers[ADA]) == 1  # its breaker is open: the third was not asked of it
        health = await at.service.health()
        assert health.details["breakers"] == {"email": "closed", "sms": "open", "spare": "closed"}
        assert health.reason == "left alone for a while, they fail: sms"


async def test_half_of_the_recipients_refused(site: Build, provider: SmsProvider) -> None:
    at = await site(NEWS, declared={"sms": provider.twilio()})
    numbers = {f"u{place}": f"+120255501{place:02}" for place in range(40)}
    for who, number in numbers.items():
        await at.user(who, number)
    for who in list(numbers)[::2]:
        provider.answers[numbers[who]] = [twilio_error(21610)]
    await at.work("sms")
    found = await texted(at, *numbers)
    assert [found[who].status for who in numbers] == ["suppressed", "sent"] * 20
    assert sorted(provider.numbers) == sorted(list(numbers.values())[1::2])


# Who gets them


async def test_only_verified_phones_get_anything_and_the_user_chooses_which(site: Build, provider: SmsProvider) -> None:
    at = await site(NEWS, declared={"sms": provider.twilio()})
    await at.user("ada", ADA, BOB)
    await at.user("bob", BOB, proven=False)
    await at.user("cyd")
    await at.work("sms")
    found = await texted(at, "ada", "bob", "cyd")
    said = {who: (receipt.status, receipt.address, receipt.reason) for who, receipt in found.items()}
    assert said == {
        "ada": ("sent", BOB, ""),
        "bob": ("suppressed", BOB, "the address is not verified"),
        "cyd": ("suppressed", "", "no address"),
    }
    settings = await at.service.choices.settings("ada")
    for change, address, reason in (
        ({"included_sms": [ADA]}, ADA, ""),
        ({"included_sms": []}, "", "not among the included addresses"),
        ({"to_sms": False}, "", "the channel is switched off"),
        ({"categories": {"news": {"to_sms": False}}}, "", "the channel is switched off for the category"),
    ):
        chosen = msgspec.convert({**msgspec.to_builtins(settings), **change}, type(settings))
        await at.service.choices.change_settings("ada", chosen)
        receipt = (await texted(at, "ada"))["ada"]
        assert (receipt.address, receipt.reason) == (address, reason)
    with pytest.raises(Invalid):
        await at.service.choices.change_settings("ada", msgspec.structs.replace(settings, included_sms=["+4311111111"]))


async def test_the_daily_limit_and_quiet_hours_hold_for_text_messages(site: Build, provider: SmsProvider) -> None:
    quiet = {"start": "00:00", "end": "23:59"}
    category = {"channels": ["sms"]}
    at = await site(
        {"news": {**category, "daily_limit": 1}, "night": category, "alarm": {**category, "urgency": "high"}},
        declared={"sms": provider.twilio()},
    )
    await at.user("ada", ADA)
    await at.work("sms")
    assert (await texted(at, "ada"))["ada"].status == "sent"
    assert (await texted(at, "ada"))["ada"].reason == "over the daily limit: inbox only"
    settings = await at.service.choices.settings("ada")
    hours = msgspec.convert({**msgspec.to_builtins(settings), "quiet_hours": quiet}, type(settings))
    await at.service.choices.change_settings("ada", hours)
    held = (await at.receipts(await at.notify("night", "ada")))["ada", "sms", ""]
    assert held.status == "queued"
    assert held.due_at is not None
    assert (await at.settled(await at.notify("alarm", "ada")))["ada", "sms", ""].status == "sent"


# How long they are


async def test_a_long_text_is_counted_and_one_that_is_too_long_is_refused_before_anything_is_sent(
    site: Build, provider: SmsProvider
) -> None:
    at = await site(NEWS, declared={"sms": provider.twilio(max_segments=2)})
    await at.user("ada", ADA)
    await at.work("sms")
    assert (await texted(at, "ada", thing="a" * 306))["ada"].details == {"segments": 2, "encoding": "GSM-7"}
    assert at.service.figures.segments == {"sms": 2}
    with pytest.raises(Invalid) as refused:
        await at.notify("news", "ada", thing="Olá, você " * 15)
    assert refused.value.message == (
        'the text message of "news" (en) cannot be sent: the text takes 3 segments as UCS-2 (because of "á"), more '
        "than the 2 of `max_segments`"
    )
    write(at.folder / "t", {"sms.txt": "{{ '' if thing == 'none' else thing }}"})
    with pytest.raises(Invalid, match="the text is empty"):
        await at.notify("news", "ada", thing="none")


# What the queue sends by itself


async def test_a_job_sends_to_each_number_once(site: Build, provider: SmsProvider) -> None:
    at = await site(NEWS, declared={"sms": provider.twilio(region="AT")})
    await at.work("sms")
    provider.answers[BOB] = [twilio_error(20500, 500)]
    job = await at.job("sms", to=["0660 1234567", BOB, ADA], body="Hello")
    assert (job.status, job.result, job.attempts) == ("completed", {"sent": 2}, 2)
    assert provider.numbers == [ADA, BOB]
    provider.answers[ADA] = [twilio_error(21610)]
    job = await at.job("sms", to=[ADA, "+12345"], body="Hello")
    assert (job.status, job.attempts) == ("failed", 1)
    assert "refused for good: 400 21610 no" in str(job.error)
    assert "+12345: refused for good: it is too short" in str(job.error)
    job = await at.job("sms", to=[ADA], body="Hello")
    assert job.error == f"{ADA}: refused for good: the address is suppressed"
    for wrong in ({"to": [ADA]}, {"to": ADA, "body": "x"}, {"to": [], "body": "x"}, {"to": [ADA], "text": "x"}):
        with pytest.raises(Invalid):
            await at.jobs.enqueue("sms", wrong)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"to": "{{ to }}", "text": "{{ text }}"}', "Write each value with `| tojson`"),
        ('{"to": {{ number | tojson }}}', "`number`"),
        ('{"to": {{ to | tojson }', "unexpected '}'"),
        ("{{ ''.__class__.__mro__ }}", "__class__"),
    ],
)
def test_a_template_of_a_request_that_cannot_work_is_refused_when_it_is_read(body: str, said: str) -> None:
    section = {"kind": "http", "provider": "generic", "url": "https://sms.example.com", "body": body}
    with pytest.raises(Fault) as refused:
        GenericSms(GenericSmsChannel.model_validate(section), None)
    assert said in f"{refused.value.message} {refused.value.remedy}"
