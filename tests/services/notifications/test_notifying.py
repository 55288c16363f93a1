"""Notifications from the asking to the receipt: who gets what on which channel, and what is recorded."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.exc import IntegrityError

from runtime.errors import Conflict, Invalid, NotFound
from runtime.services.notifications.channels.port import Receipt
from runtime.services.notifications.ports import Audience
from runtime.services.notifications.settings import CategorySettings, Settings
from tests.services.notifications.site import Recorder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.notifications.site import Site

    Build = Callable[..., Awaitable[Site]]


async def test_one_event_reaches_inbox_and_mail_with_a_receipt_each(site: Build, post: Any) -> None:
    at = await site()
    await at.user("ada")
    await at.work()
    receipts = await at.settled(await at.notify("news", "ada", thing="Grüße"))
    mail, inbox = receipts["ada", "email", ""], receipts["ada", "in_app", ""]
    assert (mail.status, mail.address, mail.provider, mail.attempts) == ("sent", "ada@example.com", "email", 1)
    assert inbox.status == "sent"
    ((to, message),) = post.received
    assert to == ["ada@example.com"]
    assert message["Subject"] == "About Grüße"
    assert message["Message-ID"] == f"<{mail.provider_id}>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    (link,) = [value for name, value in message.raw_items() if name == "List-Unsubscribe"]
    assert link.startswith("<https://core.example.com/v1/notifications/unsubscribe?token=")  # in one piece, not encoded
    assert "Grüße" in message.get_body(("plain",)).get_content()
    (item,) = await at.service.inboxes.inbox("ada")
    assert (item.title, item.text, await at.service.inboxes.unread("ada")) == ("Grüße", "b", 1)


async def test_reference_fault_3_no_mail_has_two_recipients(site: Build, post: Any) -> None:
    """The third fault of the reference: all recipients stood in one `To:`."""
    at = await site()
    people = [await at.user(f"u{number}") for number in range(30)]
    await at.work()
    await at.settled(await at.notify("news", *people))
    assert sorted(to for to, _ in post.received) == sorted([f"{name}@example.com"] for name in people)
    for to, message in post.received:
        assert message["To"] == to[0]
        assert not {"cc", "bcc"} & {name.lower() for name in message}


async def test_reference_fault_3_nobody_is_told_of_what_is_not_stored(site: Build) -> None:
    """The third fault of the reference: the socket message went out although the row was not stored."""
    at = await site({"news": {"channels": ["in_app"]}})
    await at.user("ada")
    async with asyncio.timeout(15):
        following = at.service.inboxes.follow("ada", None)
        await anext(following)
        heard = asyncio.create_task(anext(following))
        with pytest.raises(Invalid):
            await at.notify("news", "ada", data={})
        await at.notify("news", "ada", thing="first")
        told: Any = await heard
        assert [item.id for item in await at.service.inboxes.inbox("ada")] == [told.id]
        assert told.title == "first"
        await following.aclose()


async def test_reference_fault_3_nobody_is_told_of_a_row_that_the_database_refused(site: Build, url: str) -> None:
    """The third fault of the reference once more: here the row was written, and its transaction undone."""
    refuse, allow = (
        (
            "CREATE TRIGGER nope AFTER INSERT ON notification_inbox BEGIN SELECT RAISE(ABORT, 'nope'); END",
            "DROP TRIGGER nope",
        )
        if url == "sqlite"
        else (
            "ALTER TABLE notification_inbox ADD CONSTRAINT nope CHECK (title <> 'lost')",
            "ALTER TABLE notification_inbox DROP CONSTRAINT nope",
        )
    )
    at = await site({"news": {"channels": ["in_app"]}})
    await at.user("ada")
    async with asyncio.timeout(15):
        following = at.service.inboxes.follow("ada", None)
        await anext(following)
        heard = asyncio.create_task(anext(following))
        async with at.database.transaction() as connection:
            await connection.exec_driver_sql(refuse)
        with pytest.raises(IntegrityError, match="nope"):
            await at.notify("news", "ada", thing="lost")
        async with at.database.transaction() as connection:
            await connection.exec_driver_sql(allow)
        await at.notify("news", "ada", thing="first")
        told: Any = await heard
        assert (told.title, len(await at.sql("SELECT id FROM notification_inbox"))) == ("first", 1)
        await following.aclose()


async def test_a_missing_variable_is_said_before_anything_is_stored(site: Build) -> None:
    at = await site()
    await at.user("ada")
    with pytest.raises(Invalid) as refused:
        await at.notify("news", "ada", data={"think": "x"})
    assert refused.value.errors[0].pointer == "/data/thing"
    assert await at.sql("SELECT id FROM notifications") == []
    assert await at.sql("SELECT id FROM notification_inbox") == []


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"to": Audience()}, "/to"),
        ({"to": Audience(users=("ada", "eve"))}, "/to/users/1"),
        ({"to": Audience(emails=("nobody",))}, "/to/emails/0"),
        ({"to": Audience(users=("ada",)), "at": datetime(2026, 1, 1)}, "/at"),  # noqa: DTZ001
        ({"to": Audience(users=("ada",)), "at": datetime.now(UTC) + timedelta(days=800)}, "/at"),
        ({"to": Audience(users=("ada",)), "delays": (0.0,)}, "/delays"),
        ({"to": Audience(users=("ada",)), "link": "javascript:alert(1)"}, "/link"),
        ({"to": Audience(users=("ada",)), "data": {"thing": float("nan")}}, "/data"),
        ({"to": Audience(users=("ada",)), "data": {"thing": "x" * 70_000}}, "/data"),
    ],
)
async def test_what_is_wrong_is_named_by_its_place(site: Build, asked: dict[str, Any], pointer: str) -> None:
    at = await site()
    await at.user("ada")
    with pytest.raises(Invalid) as refused:
        await at.notify("news", **asked)
    assert refused.value.errors[0].pointer == pointer
    assert await at.sql("SELECT id FROM notifications") == []


async def test_an_unknown_category_names_the_nearest(site: Build) -> None:
    at = await site()
    with pytest.raises(NotFound) as refused:
        await at.notify("newz", "ada")
    assert refused.value.remedy == 'Did you mean "news"?'


async def test_a_key_tells_it_once(site: Build, post: Any) -> None:
    at = await site()
    await at.user("ada")
    await at.work()
    first = await at.notify("news", "ada", key="k1")
    again = await at.notify("news", "ada", key="k1")
    assert (again.id, again.known, first.known) == (first.id, True, False)
    with pytest.raises(Conflict):
        await at.notify("news", "ada", key="k1", thing="another")
    await at.settled(first)
    assert len(post.received) == 1


async def test_many_with_one_key_at_once_tell_it_once(site: Build, post: Any) -> None:
    at = await site()
    await at.user("ada")
    told = await asyncio.gather(*[at.notify("news", "ada", key="k") for _ in range(10)])
    assert len({each.id for each in told}) == 1
    assert sum(not each.known for each in told) == 1
    assert len(await at.sql("SELECT id FROM notification_inbox")) == 1


async def test_who_does_not_want_it_is_recorded_and_is_no_error(site: Build, post: Any) -> None:
    at = await site()
    for name in ("ada", "bob", "cyd", "dan"):
        await at.user(name, verified=name != "dan")
    await at.service.choices.change_settings("bob", Settings(enabled=False))
    await at.service.choices.change_settings("cyd", Settings(categories={"news": CategorySettings(to_emails=False)}))
    await at.work()
    receipts = await at.settled(await at.notify("news", "ada", "bob", "cyd", "dan"))
    reasons = {who: (each.status, each.reason) for (who, kind, _), each in receipts.items() if kind == "email"}
    assert reasons == {
        "ada": ("sent", ""),
        "bob": ("suppressed", "notifications are switched off"),
        "cyd": ("suppressed", "the channel is switched off for the category"),
        "dan": ("suppressed", "the address is not verified"),
    }
    assert receipts["bob", "in_app", ""].status == "suppressed"
    assert [to for to, _ in post.received] == [["ada@example.com"]]


async def test_reference_fault_4_a_channel_that_is_off_reaches_no_device(site: Build) -> None:
    """The fourth fault of the reference: a channel switched off globally delivered to *all* devices."""
    push = Recorder("push")
    at = await site({"news": {"channels": ["push"]}}, channels={"push": push})
    await at.user("ada")
    for device in ("d1", "d2"):
        await add_device(at, "ada", device)
    await at.work()
    await at.service.choices.change_settings("ada", Settings(to_push=False))
    receipts = await at.settled(await at.notify("news", "ada"))
    assert [each.reason for each in receipts.values()] == ["the channel is switched off"]
    await at.service.choices.change_settings("ada", Settings(included_push=[]))
    await at.settled(await at.notify("news", "ada"))
    assert push.sent == []
    await at.service.choices.change_settings("ada", Settings(included_push=["d2"]))
    await at.settled(await at.notify("news", "ada"))
    assert [message.to for message in push.sent] == ["d2"]


async def test_a_change_of_mind_holds_for_what_is_already_queued(site: Build, post: Any) -> None:
    at = await site()
    await at.user("ada")
    told = await at.notify("news", "ada")
    await at.service.choices.change_settings("ada", Settings(to_emails=False))
    await at.work()
    receipts = await at.settled(told)
    assert receipts["ada", "email", ""].reason == "the channel is switched off"
    assert post.received == []


async def test_reference_fault_4_the_daily_limit_is_of_the_calendar_day_and_atomic(site: Build, post: Any) -> None:
    """The fourth fault of the reference: the daily limit was a rolling window with a race."""
    at = await site({"news": {"channels": ["in_app", "email"], "daily_limit": 5}})
    await at.user("ada", time_zone="Pacific/Auckland")
    told = await asyncio.gather(*[at.notify("news", "ada", thing=f"n{number}") for number in range(12)])
    await at.work()
    receipts = [await at.settled(each) for each in told]
    mails = [each["ada", "email", ""] for each in receipts]
    assert sorted(each.status for each in mails) == ["sent"] * 5 + ["suppressed"] * 7
    assert {each.reason for each in mails if each.status == "suppressed"} == {"over the daily limit: inbox only"}
    assert len(post.received) == 5
    assert len(await at.service.inboxes.inbox("ada")) == 12
    ((day,),) = await at.sql("SELECT DISTINCT day FROM notification_counts")
    assert day in {
        (datetime.now(ZoneInfo("Pacific/Auckland")) - timedelta(minutes=m)).date().isoformat() for m in (0, 2)
    }


async def test_a_refusal_for_good_suppresses_the_address(site: Build, post: Any) -> None:
    at = await site()
    await at.user("ada")
    await at.work()
    post.answers["ada@example.com"] = ["550 5.1.1 no such user"]
    first = await at.settled(await at.notify("news", "ada"))
    assert (first["ada", "email", ""].status, first["ada", "email", ""].attempts) == ("bounced", 1)
    second = await at.settled(await at.notify("news", "ada"))
    assert second["ada", "email", ""].reason == "the address is suppressed"
    assert post.received == []


async def test_a_refusal_for_now_is_tried_again_and_not_twice_sent(site: Build, post: Any) -> None:
    at = await site()
    await at.user("ada")
    await at.work()
    post.answers["ada@example.com"] = ["451 later", "450 4.2.0 greylisted"]
    receipts = await at.settled(await at.notify("news", "ada"))
    assert (receipts["ada", "email", ""].status, receipts["ada", "email", ""].attempts) == ("sent", 3)
    assert len(post.received) == 1


async def test_a_letter_that_is_refused_harms_no_address(site: Build, post: Any) -> None:
    at = await site()
    await at.user("ada")
    await at.work()
    post.data = ["554 5.6.0 message content rejected"]
    first = await at.settled(await at.notify("news", "ada"))
    assert first["ada", "email", ""].status == "failed"
    second = await at.settled(await at.notify("news", "ada"))
    assert second["ada", "email", ""].status == "sent"


async def test_half_of_the_recipients_refused_is_half_delivered(site: Build, post: Any) -> None:
    at = await site()
    people = [await at.user(f"u{number}") for number in range(20)]
    for name in people[::2]:
        post.answers[f"{name}@example.com"] = ["550 no"]
    await at.work()
    receipts = await at.settled(await at.notify("news", *people))
    mails = {who: each.status for (who, kind, _), each in receipts.items() if kind == "email"}
    assert mails == {name: "bounced" if place % 2 == 0 else "sent" for place, name in enumerate(people)}


async def test_while_a_provider_is_down_the_next_of_the_chain_is_used(site: Build) -> None:
    down, backup = Recorder("push", [Receipt("later", reason="503", down=True)] * 100), Recorder("push")
    webpush = {"kind": "webpush", "vapid": {"subject": "mailto:ops@example.com"}}
    at = await site(
        {"news": {"channels": ["push"]}},
        channels={"push": down, "backup": backup},
        declared={"push": {**webpush, "fallback": ["backup"]}, "backup": webpush},
    )
    await at.user("ada")
    await add_device(at, "ada", "d1")
    await at.work()
    for number in range(8):
        receipts = await at.settled(await at.notify("news", "ada", thing=str(number)))
        assert receipts["ada", "push", ""].provider == "backup"
    assert len(down.sent) == at.spec.breaker.failures  # then it was left alone
    assert len(backup.sent) == 8
    assert (await at.service.health()).status == "degraded"


async def test_one_who_has_no_account_gets_a_mail_and_can_end_them(site: Build, post: Any) -> None:
    at = await site()
    await at.work()
    stranger = Audience(emails=("Eve@Example.com", "eve@example.com"))
    receipts = await at.settled(await at.notify("news", to=stranger))
    assert set(receipts) == {("email:eve@example.com", "email", "")}
    link = post.received[0][1]["List-Unsubscribe"].strip("<>")
    token = link.partition("token=")[2]
    assert await at.service.choices.subscribed(token) == ("news", "eve@example.com")
    assert (await at.settled(await at.notify("news", to=stranger)))[
        "email:eve@example.com", "email", ""
    ].status == "sent"
    assert await at.service.choices.unsubscribe(token) == ("news", "eve@example.com")
    after = await at.settled(await at.notify("news", to=stranger))
    assert after["email:eve@example.com", "email", ""].reason == "the channel is switched off for the category"
    for wrong in (token[:-2], token[:5] + "A" + token[6:], "", "x" * 50):
        with pytest.raises(Invalid):
            await at.service.choices.unsubscribe(wrong)


async def add_device(at: Site, user: str, device: str) -> None:
    await at.sql(
        'INSERT INTO notification_push_subscriptions (id, "user", endpoint, p256dh, auth, vapid_key, device, '
        "created_at) VALUES (:id, :user, 'https://push.example/x', 'k', 'a', 'v', '', CURRENT_TIMESTAMP)",
        id=device,
        user=user,
    )
