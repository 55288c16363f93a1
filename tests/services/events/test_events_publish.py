"""What may be published, and what readers and followers see of it."""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Fault, Invalid, NotFound, TooLarge, Unreachable

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.storage.wire import WiredRedis


async def test_an_event_is_stored_as_a_cloud_event(bus: Any, client: WiredRedis) -> None:
    at = bus()
    event = await at.events.publish("s", "a.b", {"amount": "1.50"}, key="ada")
    ((position, fields),) = await client.xrange(at.streams.key("s", "log"))
    assert position.decode() == event.position
    assert json.loads(fields[b"event"]) == {
        "specversion": "1.0",
        "id": event.id,
        "source": "test/s",
        "type": "a.b",
        "time": event.time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {"amount": "1.50"},
        "partitionkey": "ada",
    }
    assert await at.events.read("s") == [event]


async def test_a_stream_keeps_about_as_many_as_the_spec_says(bus: Any, client: WiredRedis) -> None:
    """The reference wrote MAXLEN after the fields, so that publishing never worked at all."""
    at = bus(retention={"max_length": 100, "max_age": "1h"})
    for number in range(450):
        await at.events.publish("s", "a.b", {"number": number})
    view = await at.events.stream("s")
    assert 100 <= view.length < 250  # trimmed by whole nodes of a hundred
    assert (await at.events.read("s", limit=200))[-1].data == {"number": 449}


async def test_events_older_than_the_spec_says_are_trimmed(bus: Any, client: WiredRedis) -> None:
    at = bus(retention={"max_age": "1h"})
    key = at.streams.key("s", "log")
    for number in range(1, 251):
        await client.xadd(key, {"event": "{}"}, id=f"{number}-0")  # of 1970
    await at.events.publish("s", "a.b", {})
    assert await client.xlen(key) < 101


async def test_the_publishers_id_makes_publishing_idempotent(bus: Any, client: WiredRedis) -> None:
    at = bus()
    first = await at.events.publish("s", "a.b", {"n": 1}, id="order-7")
    again = await at.events.publish("s", "a.b", {"n": 2}, id="order-7")
    assert again == first
    assert (await at.events.stream("s")).length == 1
    assert 86_000 < await client.ttl(at.streams.key("s", "seen:order-7")) <= 86_400
    await at.events.publish("s", "a.b", {})
    others = [key for key in await client.keys("*") if not key.endswith(b":log")]
    assert len(others) == 2
    assert all([await client.ttl(key) > 0 for key in others])


async def test_unknown_streams_and_types_are_refused_with_the_nearest(bus: Any) -> None:
    at = bus()
    with pytest.raises(NotFound, match='no stream "t"'):
        await at.events.publish("t", "a.b", {})
    with pytest.raises(NotFound) as refused:
        await at.events.publish("s", "a.bb", {})
    assert refused.value.remedy == 'Did you mean "a.b"?'
    with pytest.raises(NotFound):
        await at.events.read("s", types=frozenset({"x.y"}))
    with pytest.raises(NotFound):
        at.events.follow("s", types=frozenset({"x.y"}))


async def test_data_must_fit_its_schema(bus: Any, tmp_path: Path, client: WiredRedis) -> None:
    schema = tmp_path / "credits.json"
    schema.write_text(
        json.dumps(
            {
                "type": "object",
                "properties": {"amount": {"type": "string"}, "who": {"type": "string", "format": "email"}},
                "required": ["amount"],
                "additionalProperties": False,
            }
        )
    )
    at = bus(streams={"s": {"events": {"credits.used": {"schema": str(schema)}}}})
    with pytest.raises(Invalid) as refused:
        await at.events.publish("s", "credits.used", {"amount": 1, "more": 1})
    assert [error.pointer for error in refused.value.errors] == ["/data", "/data/amount"]
    assert await client.keys() == []
    await at.events.publish("s", "credits.used", {"amount": "1", "who": "ada@example.com"})
    schema.write_text('{"type": 7}')
    with pytest.raises(Fault, match="is no JSON Schema"):
        bus(streams={"s": {"events": {"credits.used": {"schema": str(schema)}}}})
    schema.unlink()
    with pytest.raises(Fault, match="cannot read the schema"):
        bus(streams={"s": {"events": {"credits.used": {"schema": str(schema)}}}})


@pytest.mark.parametrize(
    ("data", "more", "refusal"),
    [
        ({"x": "y" * 300_000}, {}, TooLarge),
        ({"x": math.nan}, {}, Invalid),
        ({"x": "\ud800"}, {}, Invalid),
        ({}, {"id": ""}, Invalid),
        ({}, {"id": "x" * 201}, Invalid),
        ({}, {"key": ""}, Invalid),
    ],
)
async def test_wrong_events_are_refused(bus: Any, data: Any, more: Any, refusal: type[Fault]) -> None:
    with pytest.raises(refusal):
        await bus().events.publish("s", "a.b", data, **more)


async def test_reading_goes_on_after_a_position_and_by_type(bus: Any) -> None:
    at = bus()
    published = [await at.events.publish("s", "c.d" if n % 10 == 0 else "a.b", {"n": n}) for n in range(60)]
    page = await at.events.read("s", limit=25)
    assert [event.data["n"] for event in page] == list(range(25))
    rest = await at.events.read("s", after=page[-1].position, limit=200)
    assert rest == published[25:]
    rare = await at.events.read("s", types=frozenset({"c.d"}), limit=4)
    assert [event.data["n"] for event in rare] == [0, 10, 20, 30]
    assert await at.events.read("s", after=published[-1].position) == []


@pytest.mark.parametrize("after", ["x", "-1", "1-", "1-2-3", "$", "", "99999999999999999999", "1-99999999999999999999"])
async def test_what_is_no_position_is_refused(bus: Any, after: str) -> None:
    with pytest.raises(Invalid):
        await bus().events.read("s", after=after)


async def test_followers_get_what_comes_and_what_they_missed(bus: Any, client: WiredRedis) -> None:
    at = bus()
    missed = [await at.events.publish("s", "a.b", {"n": n}) for n in range(3)]

    async def take(count: int, **how: Any) -> list[Any]:
        taken = []
        async for event in at.events.follow("s", **how):
            taken.append(event.data["n"])
            if len(taken) == count:
                break
        return taken

    late = asyncio.create_task(take(4, after=missed[0].position))
    fresh = [asyncio.create_task(take(2)) for _ in range(20)]
    rare = asyncio.create_task(take(1, types=frozenset({"c.d"})))
    bell = await _ringing(at)
    before = {known["id"] for known in await client.client_list()}
    for n in (3, 4):
        await at.events.publish("s", "c.d" if n == 4 else "a.b", {"n": n})
    async with asyncio.timeout(10):
        assert await late == [1, 2, 3, 4]
        assert await asyncio.gather(*fresh) == [[3, 4]] * 20
        assert await rare == [4]
    assert bell is not None
    assert len(before) < 40  # many followers share one waiting connection


async def _ringing(at: Any) -> Any:
    while (bell := at.streams.bell("s")).listeners < 21:
        await asyncio.sleep(0.005)
    return bell


async def test_following_survives_the_server(bus: Any, mortal_server: Any) -> None:
    client = mortal_server.client(retries=20)
    at = bus(over=client)
    seen: list[int] = []

    async def follow() -> None:
        async for event in at.events.follow("s", after="0"):
            seen.append(event.data["n"])  # noqa: PERF401 - it is looked at on the way

    task = asyncio.create_task(follow())
    await at.events.publish("s", "a.b", {"n": 0})
    async with asyncio.timeout(10):
        while seen != [0]:
            await asyncio.sleep(0.005)
        mortal_server.kill()
        await asyncio.to_thread(mortal_server.start)
        await at.events.publish("s", "a.b", {"n": 1})
        while seen != [0, 1]:
            await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.wait({task})
    await at.events.stop()
    await client.aclose()


async def test_publishing_does_not_wait_behind_readers_that_wait(bus: Any) -> None:
    """In the reference, publishing shared the connection of a blocking read, and waited seconds behind it."""
    at = bus()
    await at.subscribe("waiting", _nothing)
    follower = asyncio.create_task(anext(at.events.follow("s")))
    async with asyncio.timeout(2):
        while not any(known["cmd"] == "xread" for known in await at.client.client_list()):
            await asyncio.sleep(0.005)
        for n in range(50):
            await at.events.publish("s", "a.b", {"n": n})
    await follower


async def _nothing(event: Any) -> None: ...


async def test_no_answer_from_redis_is_said(bus: Any, mortal_server: Any) -> None:
    client = mortal_server.client()
    at = bus(over=client)
    mortal_server.kill()
    with pytest.raises(Unreachable):
        await at.events.publish("s", "a.b", {})
    with pytest.raises(Unreachable):
        await anext(at.events.follow("s"))
    await client.aclose()
