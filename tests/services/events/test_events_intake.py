"""How a worker is given events: read by the server's own command where that is safe, and waiting there for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from runtime.services.events.adapters.redis_seat import RedisSeat
from runtime.services.events.consuming import Handler, Terms
from runtime.services.events.partitions import PARTITIONS
from runtime.services.events.ports import NewEvent
from runtime.services.events.seat import MOST_AHEAD
from tests.services.events.conftest import until

if TYPE_CHECKING:
    from runtime.services.events.ports import Event
    from runtime.storage.wire import WiredRedis

KEYED = Terms("beginning", 4, 3, lambda _: 0.01, 5.0, dead_letter=True, key_order=True)


async def never(event: Event) -> None:
    raise AssertionError(event)


def seat_of(at: Any) -> RedisSeat:
    """A worker's seat without the worker."""
    seat = at.streams.consumer("sub", "s", KEYED, Handler(never))._seat
    assert isinstance(seat, RedisSeat)
    return seat


async def waiting(client: WiredRedis, count: int = 1) -> None:
    """Returns when so many workers wait at the server."""
    async with asyncio.timeout(10):
        while len([each for each in await client.client_list() if "b" in each["flags"]]) != count:
            await asyncio.sleep(0.005)


async def test_an_event_comes_to_a_worker_that_waits_without_a_further_command(bus: Any, client: WiredRedis) -> None:
    at, seen = bus(), []

    async def note(event: Event) -> None:
        seen.append(event.data["n"])

    await at.subscribe("sub", note)
    await at.events.publish("s", "a.b", {"n": 0})
    await until(lambda: seen == [0])
    await waiting(client)
    before = (await client.info("commandstats"))["cmdstat_xreadgroup"]["calls"]
    for n in range(1, 6):
        await at.events.publish("s", "a.b", {"n": n})
        await until(lambda: len(seen) > n)  # noqa: B023 - it is awaited here
        await waiting(client)
    stats = await client.info("commandstats")
    assert seen == list(range(6))
    assert stats["cmdstat_xreadgroup"]["calls"] - before <= 7  # one for each; the wait may have been over once


async def test_what_ends_while_the_worker_waits_is_acknowledged(bus: Any, client: WiredRedis) -> None:
    at, go = bus(), asyncio.Event()

    async def slow(event: Event) -> None:
        await go.wait()

    subscription = await at.subscribe("sub", slow, concurrency=4)
    await at.events.publish("s", "a.b", {})
    await until(lambda: subscription._consumer.activity.running)
    await waiting(client)
    go.set()
    log = at.streams.key("s", "log")
    async with asyncio.timeout(10):
        while (await client.xpending(log, "sub"))["pending"]:
            await asyncio.sleep(0.005)
    await waiting(client)


async def test_a_worker_that_stops_takes_back_what_waits(bus: Any, client: WiredRedis) -> None:
    at, seen = bus(), []

    async def note(event: Event) -> None:
        seen.append(event.data["n"])

    subscription = await at.subscribe("sub", note)
    await waiting(client)
    async with asyncio.timeout(2):  # it would wait for five seconds
        await subscription.stop()
    await at.events.publish("s", "a.b", {"n": 0})
    assert (await client.xpending(at.streams.key("s", "log"), "sub"))["pending"] == 0
    await subscription.start()
    await until(lambda: seen == [0])


async def test_an_old_token_reads_nothing_not_even_where_memory_is_full(bus: Any, client: WiredRedis) -> None:
    at = bus()
    seat = seat_of(at)
    await seat.create("beginning")
    token = (await seat.sit([])).token
    await at.events.publish("s", "a.b", {"n": 0})
    taken = await seat.take(token, [], 1)
    assert taken is not None
    await at.events.publish("s", "a.b", {"n": 1})
    await client.config_set("maxmemory", "1")
    try:
        assert await seat.take(token - 1, [], 1) is None
    finally:
        await client.config_set("maxmemory", "0")
    assert (await client.xpending(at.streams.key("s", "log"), "sub"))["pending"] == 1
    again = await seat.take(token, [taken.entries[0][0]], 5)
    assert again is not None
    assert [b'"n":1' in (stored or b"") for _, stored in again.entries] == [True]
    await seat.close()


async def test_what_waits_in_a_workers_box_comes_before_what_is_newer(bus: Any) -> None:
    """Another worker, which has no partition yet, has come across it first."""
    at = bus()
    owner, other = seat_of(at), seat_of(at)
    await owner.create("beginning")
    token = (await owner.sit([])).token
    late = (await other.sit([])).token
    assert len((await owner.sit([])).partitions) == PARTITIONS
    for n in range(2):
        await at.events.publish("s", "a.b", {"n": n}, key="ada")
    async with asyncio.timeout(3):  # it would wait for five seconds
        for wait in (False, True):
            assert await other.take(late, [], 1, wait=wait) == ([], 0, False)
    await at.events.publish("s", "a.b", {"n": 2}, key="ada")
    mine = await owner.take(token, [], 10)
    assert mine is not None
    assert [b'"n":%d' % n in (stored or b"") for n, (_, stored) in enumerate(mine.entries)] == [True] * 3
    for seat in (owner, other):
        await seat.close()


async def test_nothing_is_read_ahead_of_a_worker_whose_box_is_full(bus: Any) -> None:
    at = bus()
    owner, other = seat_of(at), seat_of(at)
    await owner.create("beginning")
    token = (await owner.sit([])).token
    late = (await other.sit([])).token
    await at.events.publish_all("s", [NewEvent("a.b", {"n": n}, key="ada") for n in range(MOST_AHEAD + 5)])
    assert await other.take(late, [], MOST_AHEAD) == ([], 0, False)
    assert await other.take(late, [], 10) == ([], 0, True)
    mine = await owner.take(token, [], 10)
    assert mine is not None
    assert len(mine.entries) == 10
    assert await other.take(late, [], 10) == ([], 0, False)
    for seat in (owner, other):
        await seat.close()
