"""What an open connection, time and silence change: modes, quiet hours, escalation, reminders."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock
from zoneinfo import ZoneInfo

import pytest

from runtime.services.notifications import inboxes
from runtime.services.notifications.ports import InboxChange
from runtime.services.notifications.settings import QuietHours, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.services.notifications.site import Site

    Build = Callable[..., Awaitable[Site]]


@pytest.fixture
def url() -> str:
    """Nothing here is the database's."""
    return "sqlite"


@asynccontextmanager
async def following(at: Site, user: str, after: str | None = None) -> AsyncIterator[list[Any]]:
    """An open connection of a user; what it was told."""
    told: list[Any] = []
    ready = asyncio.Event()

    async def listen() -> None:
        async for each in at.service.inboxes.follow(user, after):
            told.append(each)
            ready.set()

    task = asyncio.create_task(listen())
    async with asyncio.timeout(10):
        await ready.wait()
    yield told
    task.cancel()
    await asyncio.wait({task})


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("mode", "mailed"), [("default", False), ("forced", True), ("prefer_socket", False)])
async def test_who_is_online_gets_it_there(site: Build, post: Any, mode: str, mailed: bool) -> None:
    at = await site({"news": {"channels": ["in_app", "email"], "mode": mode}})
    for name in ("ada", "bob"):
        await at.user(name)
    await at.work()
    async with following(at, "ada") as told:
        receipts = await at.settled(await at.notify("news", "ada", "bob"))
        await until(lambda: len(told) == 2)
    mails = {who: each.status for (who, kind, _), each in receipts.items() if kind == "email"}
    assert mails == {"ada": "sent" if mailed else "suppressed", "bob": "sent"}
    assert told[1].title == "news"
    if mode == "prefer_socket":
        assert receipts["ada", "email", ""].reason == "the user's open connection took it"


async def test_a_connection_that_does_not_take_it_leaves_it_to_the_mail(site: Build, post: Any) -> None:
    at = await site({"news": {"channels": ["in_app", "email"], "mode": "prefer_socket"}})
    await at.user("ada")
    await at.work()
    async with at.service._presence.here("ada"):  # open, and stuck
        told = await at.notify("news", "ada")
        waiting = (await at.receipts(told))["ada", "email", ""]
        assert waiting.status == "queued"
        assert waiting.due_at is not None
        assert (await at.settled(told))["ada", "email", ""].status == "sent"


async def test_a_connection_that_ends_is_forgotten(site: Build, post: Any) -> None:
    at = await site()
    await at.user("ada")
    await at.work()
    async with following(at, "ada"):
        assert await at.service._presence.online(["ada", "bob"]) == {"ada"}
    assert await at.service._presence.online(["ada"]) == set()
    assert (await at.settled(await at.notify("news", "ada")))["ada", "email", ""].status == "sent"


async def test_what_a_connection_takes_is_delivered_and_what_is_read_is_read(site: Build) -> None:
    at = await site({"news": {"channels": ["in_app"]}})
    await at.user("ada")
    first = await at.notify("news", "ada", thing="one")
    assert (await at.receipts(first))["ada", "in_app", ""].status == "sent"
    async with following(at, "ada") as told:
        second = await at.notify("news", "ada", thing="two")
        await until(lambda: len(told) == 2)
        async with asyncio.timeout(10):
            while (await at.receipts(second))["ada", "in_app", ""].status != "delivered":
                await asyncio.sleep(0.01)
    assert await at.service.inboxes.read("ada", told[1].id) == 1
    assert (await at.receipts(second))["ada", "in_app", ""].status == "read"
    assert (await at.receipts(first))["ada", "in_app", ""].status == "sent"
    assert await at.service.inboxes.unread("ada") == 1
    assert await at.service.inboxes.read("ada", None) == 1
    assert await at.service.inboxes.unread("ada") == 0


async def test_whoever_comes_back_gets_what_was_missed(site: Build) -> None:
    at = await site({"news": {"channels": ["in_app"]}})
    await at.user("ada")
    async with following(at, "ada") as told:
        await at.notify("news", "ada", thing="one")
        await until(lambda: len(told) == 2)
        cursor = told[1].id
    await at.notify("news", "ada", thing="two")
    await at.notify("news", "ada", thing="three")
    async with following(at, "ada", cursor) as told:
        await until(lambda: {"two", "three"} <= {item.title for item in told[1:]})
        assert told[0] == cursor


async def test_all_connections_of_a_user_hear_it_over_all_instances(site: Build) -> None:
    one, other = await site({"news": {"channels": ["in_app"]}}), await site({"news": {"channels": ["in_app"]}})
    await one.user("ada")
    async with following(one, "ada") as here, following(other, "ada") as there:
        for number in range(20):
            await one.notify("news", "ada", thing=f"n{number}")
        await until(lambda: len(here) == len(there) == 21)
    assert [item.title for item in there[1:]] == [f"n{number}" for number in range(20)]


async def test_quiet_hours_hold_a_mail_back_and_not_what_is_urgent(site: Build, post: Any) -> None:
    at = await site(
        {
            "news": {"channels": ["in_app", "email"]},
            "alarm": {"channels": ["in_app", "email"], "urgency": "high"},
            "safety": {"channels": ["in_app", "email"], "mandatory": True},
        }
    )
    await at.user("ada", time_zone="Europe/Vienna")
    now = datetime.now(UTC)
    local = now.astimezone(ZoneInfo("Europe/Vienna"))
    start, end = local - timedelta(hours=2), local + timedelta(hours=2)
    hours = QuietHours(f"{start:%H:%M}", f"{end:%H:%M}")
    await at.service.choices.change_settings("ada", Settings(quiet_hours=hours))
    await at.work()
    for category in ("alarm", "safety"):
        assert (await at.settled(await at.notify(category, "ada")))["ada", "email", ""].status == "sent"
    urgent = await at.notify("news", "ada", urgency="high")
    assert (await at.settled(urgent))["ada", "email", ""].status == "sent"
    waits = (await at.receipts(await at.notify("news", "ada")))["ada", "email", ""]
    assert waits.status == "queued"
    assert waits.due_at is not None
    assert timedelta(hours=1, minutes=55) < waits.due_at - now < timedelta(hours=2, minutes=5)
    assert await at.service.inboxes.unread("ada") == 4


async def test_quiet_hours_that_begin_meanwhile_hold_it_back_as_well(site: Build, post: Any) -> None:
    at = await site()
    await at.user("ada")
    told = await at.notify("news", "ada")
    now = datetime.now(UTC)
    hours = QuietHours(f"{now - timedelta(hours=1):%H:%M}", f"{now + timedelta(hours=1):%H:%M}")
    await at.service.choices.change_settings("ada", Settings(quiet_hours=hours))
    await at.work()
    async with asyncio.timeout(15):
        while (await at.receipts(told))["ada", "email", ""].reason != "quiet hours":
            await asyncio.sleep(0.01)
    assert (await at.receipts(told))["ada", "email", ""].status == "queued"
    assert post.received == []


async def test_what_nobody_reads_escalates_and_what_is_read_does_not(site: Build, post: Any) -> None:
    escalation = {"after": "300ms", "channels": ["email"]}
    at = await site({"news": {"channels": ["in_app"], "escalation": escalation}})
    for name in ("ada", "bob"):
        await at.user(name)
    told = await at.notify("news", "ada", "bob")
    (item,) = await at.service.inboxes.inbox("bob")
    await at.service.inboxes.read("bob", item.id)
    await at.work()
    async with following(at, "ada"):  # an open connection alone is no reader
        await until(lambda: len(post.received) == 1)
    receipts = await at.settled(told)
    assert receipts["ada", "email", "escalation"].status == "sent"
    assert ("bob", "email", "escalation") not in receipts
    assert post.recipients == ["ada@example.com"]


async def test_reminders_come_until_it_is_read(site: Build, post: Any) -> None:
    at = await site({"news": {"channels": ["in_app", "email"], "reminders": ["1d"]}})
    for name in ("ada", "bob"):
        await at.user(name)
    await at.work()
    told = await at.notify("news", "ada", "bob", delays=(1.0, 2.0))
    await until(lambda: len(post.received) == 2)
    (item,) = await at.service.inboxes.inbox("bob")
    await at.service.inboxes.read("bob", item.id)
    await until(lambda: len(post.received) == 4)
    receipts = await at.settled(told)
    assert {name for name in receipts if name[2]} == {("ada", "email", "reminder-1"), ("ada", "email", "reminder-2")}


async def test_a_notification_of_tomorrow_waits(site: Build, post: Any) -> None:
    at = await site()
    await at.user("ada")
    told = await at.notify("news", "ada", at=datetime.now(UTC) + timedelta(days=1))
    assert told.deliveries is None
    assert await at.receipts(told) == {}
    assert await at.service.inboxes.unread("ada") == 0
    (job,) = await at.planned()
    assert job["payload"]["work"] == "expand"
    soon = await at.notify("news", "ada", at=datetime.now(UTC) + timedelta(milliseconds=200))
    await at.work()
    assert (await at.settled(soon))["ada", "email", ""].status == "sent"


async def test_what_is_done_elsewhere_is_told(site: Build) -> None:
    one, other = await site({"news": {"channels": ["in_app"]}}), await site({"news": {"channels": ["in_app"]}})
    await one.user("ada")
    for thing in ("a", "b", "c"):
        await one.notify("news", "ada", thing=thing)
    c, b, a = [item.id for item in await one.service.inboxes.inbox("ada")]
    await other.service.inboxes.read("ada", a)  # before anybody follows: it stands in the inbox
    async with following(one, "ada") as told, following(other, "ada") as there:
        await other.service.inboxes.read("ada", b)
        await until(lambda: len(told) == len(there) == 2)
        await one.service.inboxes.read("ada", b)  # it is read already
        await one.service.inboxes.archive("ada", c)
        await until(lambda: len(told) == len(there) == 3)
        await one.service.inboxes.archive("ada", c)
        await one.notify("news", "ada", thing="d")
        await until(lambda: len(told) == len(there) == 4)
        assert await one.service.inboxes.read("ada", None) == 2
        await until(lambda: len(told) == len(there) == 5)
    assert told == there
    d = told[3].id
    assert told[1:3] == [InboxChange([b], [], 1), InboxChange([], [c], 0)]
    assert told[4] == InboxChange(sorted([c, d]), [], 0)


async def test_a_lost_ring_is_made_up_for(site: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inboxes, "RENEW", 0.05)
    at, silent = await site({"news": {"channels": ["in_app"]}}), await site({"news": {"channels": ["in_app"]}})
    await at.user("ada")
    await at.notify("news", "ada")
    (item,) = await at.service.inboxes.inbox("ada")
    monkeypatch.setattr(silent.service._bell, "ring", AsyncMock())
    async with following(at, "ada") as told:
        await silent.service.inboxes.read("ada", item.id)
        await until(lambda: len(told) == 2)
    assert told[1] == InboxChange([item.id], [], 0)
