"""From an act to its entry: what waits where while a server is away, events once each, and what is never kept."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from runtime.plugins import Mark
from runtime.services.audit.ports import Wanted
from runtime.services.audit.redaction import LARGEST, Redaction
from runtime.services.audit.workers import Recording
from runtime.services.ending import end_tasks
from runtime.services.events.adapters.memory import MemoryStreams
from runtime.services.events.ports import Event
from runtime.services.events.service import EventBus
from runtime.services.events.spec import EventsSpec
from runtime.services.events.subscription import Subscription
from runtime.telemetry.audit import Act
from runtime.telemetry.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.audit.conftest import Place
    from tests.services.conftest import Server

    Build = Callable[..., Awaitable[Place]]

SECRET = "hunter2-of-the-vault"


async def test_acts_wait_in_redis_while_the_database_is_away(place: Build) -> None:
    at = await place()
    await at.sql("ALTER TABLE audit_head RENAME TO away")
    await at.watch()
    for number in range(3):
        await at.trail.record(Act("a.b", "user:1", f"thing:{number}"))
    async with asyncio.timeout(20):
        while (await at.trail.health()).status != "degraded":
            await asyncio.sleep(0.01)
    assert await at.spool.length() == 3
    await at.sql("ALTER TABLE away RENAME TO audit_head")
    await at.until(3)
    assert (await at.trail.verify()).broken is None
    assert [row.target for row in await at.sql("SELECT target FROM audit ORDER BY seq")] == [
        "thing:0", "thing:1", "thing:2",
    ]  # fmt: skip


async def test_acts_go_straight_into_the_chain_while_redis_is_away(place: Build, mortal_server: Server) -> None:
    at = await place(client=mortal_server.client())
    mortal_server.kill()
    await at.trail.record(Act("a.b", "user:1"))
    assert (await at.trail.head()).seq == 1
    assert (await at.trail.health()).status == "degraded"


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_an_act_that_nothing_can_keep_is_logged_and_held(
    place: Build, mortal_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    at = await place(client=mortal_server.client())
    mortal_server.kill()
    await at.sql("ALTER TABLE audit_head RENAME TO away")
    await at.trail.record(Act("a.b", "user:1", "thing:7"))
    assert [record.__dict__["act"]["target"] for record in caplog.records] == ["thing:7"]
    await at.sql("ALTER TABLE away RENAME TO audit_head")
    await at.trail.stop()
    (kept,) = await at.trail.entries(Wanted(), before=None, limit=9)
    assert kept.target == "thing:7"


async def test_what_another_program_has_put_there_is_dropped(place: Build) -> None:
    at = await place()
    await at.spool._client.xadd("rt:test:audit", {"entry": "{"})
    await at.spool._client.xadd("rt:test:audit", {"more": "1"})
    await at.trail.record(Act("a.b", "user:1"))
    await at.watch()
    await at.until(1)
    assert await at.spool.length() == 0


# Events


def event(id_: str, data: dict[str, Any], stream: str = "s") -> Event:
    return Event(id_, "1-0", stream, "thing.changed", datetime(2026, 1, 1, tzinfo=UTC), data, "thing:1")


async def test_an_event_that_is_delivered_again_is_one_entry(place: Build) -> None:
    one, other = await place(), await place()
    for at in (one, other, one):
        recording = Recording(at.trail)
        for number in range(20):
            await recording.record(event(f"e{number}", {"n": number, "by": "user:1"}))
    await Recording(one.trail).record(event("e0", {}, "another stream"))
    await one.watch()
    await other.watch()
    async with asyncio.timeout(20):
        while await one.spool.length():
            await asyncio.sleep(0.005)
    entries = await one.trail.entries(Wanted(action="thing.changed"), before=None, limit=100)
    assert len(entries) == 21
    assert (await one.trail.verify()).broken is None
    first = entries[-1]
    assert (first.actor, first.target, first.time) == ("user:1", "thing:1", datetime(2026, 1, 1, tzinfo=UTC))
    assert first.details == {"stream": "s", "event": "e0", "data": {"n": 0, "by": "user:1"}}
    assert entries[0].actor == "system"


async def test_a_subscription_writes_down_what_its_stream_has(place: Build) -> None:
    at = await place()
    await at.watch()
    section = {
        "streams": {"s": {"events": {"a.b": {}}}},
        "subscriptions": {"kept": {"stream": "s", "handler": "audit.record", "from": "beginning"}},
    }
    spec = EventsSpec.model_validate(section)
    bus = EventBus(spec, MemoryStreams(source="test"))
    mark = Mark("subscriber", "audit.record", Recording(at.trail).record)
    subscription = Subscription("kept", spec.subscriptions["kept"], mark, bus)
    await subscription.start()
    watching = asyncio.create_task(subscription.watch())
    try:
        for number in range(5):
            await bus.publish("s", "a.b", {"n": number}, key="k")
        await at.until(5)
    finally:
        await subscription.stop()
        await end_tasks([watching])
        await bus.stop()
    assert len(await at.trail.entries(Wanted(action="a.b", target="k"), before=None, limit=9)) == 5


# What is never kept


async def test_no_secret_of_an_event_stands_in_a_row_or_waits_in_redis(place: Build) -> None:
    at = await place(known=Redactor([SECRET]).text)
    told = {
        "note": f"it is {SECRET}, they said",
        SECRET: 1,
        "nested": [{"apiKey": "k-123456", "deep": {"password": "swordfish"}}],
        "who": "Ada Lovelace <ada@example.com>",
        "url": "postgres://app:swordfish@db/x",
        "bearer": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "key_found": "rt_abcdefghijklmnopqrstuvwxyz",
        "full_name": "Ada Lovelace",
        "phone": "+4366012345678",
        "fine": "queue email",
    }
    await Recording(at.trail).record(event("e1", told))
    waiting = await at.spool._client.xrange("rt:test:audit")
    await at.watch()
    await at.until(1)
    (row,) = await at.sql("SELECT * FROM audit")
    for text in (str(tuple(row)), str(waiting)):
        for hidden in (SECRET, "k-123456", "swordfish", "ada@", "eyJ", "rt_abc", "4366012345678"):
            assert hidden not in text
        assert "queue email" in text
    assert json.loads(row.details)["data"]["full_name"] == "***"


def test_texts_fit_every_database() -> None:
    redaction = Redaction()
    assert redaction.text("a\0b\ud800c", 200) == "a\ufffdb?c"
    assert len(redaction.text("x" * 999, 200)) == 200
    assert json.loads(redaction.details({"x": "y" * 2 * LARGEST})) == {
        "left_out": f"details of {LARGEST + 8} characters"
    }
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"d": deep}
    assert len(redaction.details(deep)) < LARGEST


HIDDEN = (
    "password", "newPassword", "api_key", "apiKey", "key", "access_token", "Authorization", "client-secret", "otp",
    "email", "e_mail", "name", "firstName", "user_name", "phone",
)  # fmt: skip


@pytest.mark.parametrize("name", HIDDEN)
def test_fields_of_such_names_are_hidden(name: str) -> None:
    assert json.loads(Redaction().details({name: "value"})) == {name: "***"}


@pytest.mark.parametrize("name", ["keys", "queue", "status_code", "reason", "component", "monkey", "user"])
def test_fields_of_other_names_are_not(name: str) -> None:
    assert json.loads(Redaction().details({name: "value"})) == {name: "value"}
