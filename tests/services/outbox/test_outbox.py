"""What is written with a transaction goes out if and only if it commits: on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Invalid, NotFound, TooLarge, Unreachable
from runtime.services.outbox import relay, store
from tests.services.outbox.conftest import Place, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.conftest import Server

    Build = Callable[..., Awaitable[Place]]


async def emptied(at: Place) -> None:
    """Waits until nothing waits in the outbox."""

    async def empty() -> bool:
        async with at.database.engine.connect() as connection:
            return (await store.figures(connection)).waiting == 0

    await until(empty)


async def test_what_commits_is_delivered_and_what_is_rolled_back_is_not(place: Build) -> None:
    at = await place()
    await at.relay()
    with pytest.raises(ZeroDivisionError):
        await fail(at)
    async with at.outbox.transaction() as tx:
        await tx.enqueue("q", {"number": 2})
        event = await tx.publish("s", "a.b", {"number": 2}, key="k")
        assert await at.published() == []
    await emptied(at)
    assert [(found.id, found.data, found.key) for found in await at.published()] == [(event, {"number": 2}, "k")]
    assert (await at.jobs.queue("q")).waiting == 1


async def fail(at: Place) -> None:
    async with at.outbox.transaction() as tx:
        await tx.enqueue("q", {"number": 1})
        await tx.publish("s", "a.b", {"number": 1})
        raise ZeroDivisionError


async def test_a_commit_wakes_the_relay(place: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "POLL", 3600.0)
    at = await place()
    await at.relay()
    async with at.outbox.transaction() as tx:
        await tx.publish("s", "a.b", {})
    await emptied(at)  # it would look again in an hour
    async with at.database.engine.begin() as connection:  # a transaction of the user's own
        await at.outbox.publish(connection, "s", "a.b", {})
    await until(lambda: _count(at, 2))


async def test_what_another_process_wrote_is_found_by_polling(place: Build) -> None:
    at, other = await place(), await place()
    await at.relay()
    async with other.outbox.transaction() as tx:
        await tx.publish("s", "a.b", {})
    await until(at.published)


async def test_plain_sql_and_the_users_own_tables(place: Build) -> None:
    at = await place()
    async with at.outbox.transaction() as tx:
        await tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, paid INTEGER)")
        await tx.execute("INSERT INTO orders VALUES (:id, 0)", [{"id": 1}, {"id": 2}])
        await tx.execute("UPDATE orders SET paid = 1 WHERE id = :id", {"id": 2})
    assert [tuple(row) for row in await at.sql("SELECT id, paid FROM orders ORDER BY id")] == [(1, 0), (2, 1)]


@dataclass
class Picture:
    width: int


async def test_it_refuses_what_a_queue_and_a_stream_refuse(place: Build) -> None:
    async def resize(job: Any, payload: Picture) -> None: ...

    at = await place(tasks={"pictures": resize})
    async with at.outbox.transaction() as tx:
        for write, kind, said in (
            (tx.enqueue("picture", {}), NotFound, 'no queue "picture"'),
            (tx.enqueue("pictures", {"width": "wide"}), Invalid, "the payload is no Picture"),
            (tx.enqueue("pictures", {"width": 1}, delay="soon"), Invalid, "`delay` is no duration"),
            (tx.enqueue("q", {"text": "x" * 1_000_001}), TooLarge, "a job takes at most"),
            (tx.publish("t", "a.b", {}), NotFound, 'no stream "t"'),
            (tx.publish("s", "a.c", {}), NotFound, 'no event type "a.c"'),
            (tx.publish("s", "a.b", {"text": "x" * 300_000}), TooLarge, "bytes"),
            (tx.publish("s", "a.b", {"text": float("nan")}), Invalid, "JSON"),
        ):
            with pytest.raises(kind, match=said):
                await write
    assert await at.sql("SELECT id FROM outbox") == []


async def test_several_instances_share_the_work_keep_the_order_and_double_nothing(
    place: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BATCH", 7)
    places = [await place() for _ in range(3)]
    for at in places:
        await at.relay()
    for number in range(120):
        async with random.choice(places).outbox.transaction() as tx:
            await tx.publish("s", "a.b", {"number": number})
            await tx.enqueue("q", {"number": number})
    await emptied(places[0])
    assert [event.data["number"] for event in await places[0].published()] == list(range(120))
    assert (await places[0].jobs.queue("q")).waiting == 120
    await until(lambda: _said(places, 240))
    assert sum(at.outbox._relay.delivered for at in places) == 240


async def _said(places: list[Place], count: int) -> bool:
    """Whether the instances say that they have delivered so many; each says so after it is true."""
    return sum(at.outbox._relay.delivered for at in places) >= count


async def test_a_second_delivery_is_none(place: Build) -> None:
    """The process dies after it has delivered and before it has said so."""
    at = await place()
    async with at.outbox.transaction() as tx:
        for number in range(5):
            await tx.enqueue("q", {"number": number}, delay=0.1)
            await tx.publish("s", "a.b", {"number": number})
        await tx.enqueue("q", {"number": 5}, once="mine")
        await tx.enqueue("q", {"number": 5}, once="mine")
    saved = await at.sql("SELECT name, lane, body FROM outbox ORDER BY id")
    await at.relay()
    await emptied(at)
    for name, lane, body in saved:
        await at.sql(
            "INSERT INTO outbox (name, lane, body, dead, created_at) VALUES (:name, :lane, :body, false, "
            "CURRENT_TIMESTAMP)", name=name, lane=lane, body=body,
        )  # fmt: skip
    await emptied(at)
    assert [event.data["number"] for event in await at.published()] == list(range(5))
    view = await at.jobs.queue("q")
    assert view.waiting + view.scheduled == 6


async def test_what_cannot_be_delivered_goes_aside_and_can_be_sent_again(
    place: Build, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "runtime.outbox")
    early = await place(streams={"s": {"events": {"a.b": {}, "old": {}}}})
    async with early.outbox.transaction() as tx:
        for type_ in ("a.b", "old", "a.b"):
            await tx.publish("s", type_, {"type": type_})
    late = await place()  # its spec has no such type any more
    await late.relay()
    await emptied(late)
    assert [event.type for event in await late.published()] == ["a.b", "a.b"]
    (dead,) = await late.outbox.dead()
    assert (dead.to, dead.content["data"]) == ("events:s", {"type": "old"})
    assert dead.error == 'no event type "old" in the stream "s"'
    assert "put aside" in caplog.text
    health = await late.outbox.health()
    assert (health.status, health.details["dead"], health.details["waiting"]) == ("degraded", 1, 0)
    assert await late.outbox.dead(after=dead.id) == []
    await early.relay()
    await late.close()
    assert await early.outbox.replay([dead.id + 1]) == 0
    assert await early.outbox.replay() == 1
    await until(lambda: _count(early, 3))
    assert (await early.outbox.health()).status == "operational"


async def test_rows_of_plain_sql_are_delivered_or_put_aside(place: Build) -> None:
    at = await place()
    insert = "INSERT INTO outbox (name, lane, body, dead, created_at) VALUES (:n, :l, :b, false, CURRENT_TIMESTAMP)"
    for number, (lane, body) in enumerate((
        ("events:s", '{"type": "a.b", "data": {"number": 1}}'), ("jobs:q", '{"payload": {}}'), ("jobs:q", "nonsense"),
        ("jobs:q", "[1]"), ("events:s", '{"type": "a.b"}'), ("mails:s", "{}"), ("jobs:nowhere", '{"payload": {}}'),
    )):  # fmt: skip
        await at.sql(insert, n=f"by hand {number}", l=lane, b=body)
    await at.relay()
    await emptied(at)
    assert [(event.id, event.data) for event in await at.published()] == [("by hand 0", {"number": 1})]
    assert (await at.jobs.queue("q")).waiting == 1
    assert {(dead.to, dead.error) for dead in await at.outbox.dead()} == {
        ("jobs:q", "the entry has no `payload`"),
        ("events:s", "the entry has no `data`"),
        ("mails:s", '"mails:s" is neither a queue, `jobs:email`, nor a stream, `events:billing`'),
        ("jobs:nowhere", 'no queue "nowhere"'),
    }


async def _count(at: Place, count: int) -> bool:
    return len(await at.published()) == count


async def test_entries_wait_while_redis_is_away(place: Build, mortal_server: Server) -> None:
    client = mortal_server.client()
    at = await place(over=client)
    await at.relay()
    mortal_server.kill()
    async with at.outbox.transaction() as tx:
        await tx.enqueue("q", {"number": 1})
        await tx.publish("s", "a.b", {"number": 1})
    with pytest.raises(Unreachable):
        await at.events.publish("s", "a.b", {})

    async def told() -> bool:
        health = await at.outbox.health()
        return health.status == "degraded" and health.details["waiting"] == 2 and "storage.redis" in health.reason

    await until(told)
    mortal_server.start()
    await emptied(at)
    assert len(await at.published()) == 1
    assert (await at.jobs.queue("q")).waiting == 1
    await client.aclose()


async def test_a_task_writes_to_the_database_and_the_outbox_together(place: Build) -> None:
    async def pay(job: Any, payload: dict[str, Any]) -> None:
        async with job.transaction() as tx:
            await tx.execute("INSERT INTO paid VALUES (:number)", payload)
            await tx.publish("s", "a.b", payload)
            if payload["number"] % 2:
                raise ValueError("odd")

    at = await place(tasks={"pay": pay})
    await at.sql("CREATE TABLE paid (number INTEGER)")
    await at.relay()
    await at.work("pay")
    for number in range(6):
        await at.jobs.enqueue("pay", {"number": number})

    async def ended() -> bool:
        view = await at.jobs.queue("pay")
        return view.completed == 3 and view.retried == 3

    await until(ended)
    await emptied(at)
    assert {row.number for row in await at.sql("SELECT number FROM paid")} == {0, 2, 4}
    assert {event.data["number"] for event in await at.published()} == {0, 2, 4}


async def test_many_writers_at_once(place: Build) -> None:
    at = await place()
    await at.relay()

    async def write(number: int) -> None:
        async with at.outbox.transaction() as tx:
            await tx.publish("s", "a.b", {"number": number})
            if number % 3 == 0:
                await tx.connection.rollback()

    await asyncio.gather(*(write(number) for number in range(60)), return_exceptions=True)
    await emptied(at)
    assert {event.data["number"] for event in await at.published()} == {n for n in range(60) if n % 3}
