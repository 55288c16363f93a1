"""What every place for streams promises, on each back-end: through the bus and its subscriptions, as users meet it."""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from runtime.errors import Invalid, NotFound
from runtime.plugins import Mark
from runtime.services.events.adapters.memory import MemoryStreams
from runtime.services.events.adapters.redis import RedisStreams
from runtime.services.events.backend import Draft, Retention
from runtime.services.events.consuming import Handler, Terms
from runtime.services.events.ports import Missed, NewEvent
from runtime.services.events.service import EventBus
from runtime.services.events.spec import EventsSpec, SubscriptionSpec
from runtime.services.events.subscription import Subscription
from tests.wired import wired

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from runtime.services.events.ports import Event
    from tests.valkey import ValkeyServer


TERMS = Terms("beginning", 1, 1, lambda _: 0.0, 0.3, dead_letter=True, key_order=False)


class Bus(EventBus):
    """A bus with the stream `s`, and its subscriptions."""

    def __init__(self, backend: MemoryStreams | RedisStreams) -> None:
        section = {"stream": "s", "handler": "h"}
        spec = EventsSpec.model_validate(
            {"streams": {"s": {"events": {"a.b": {}, "c.d": {}}}}, "subscriptions": {"one": section, "two": section}}
        )
        super().__init__(spec, backend)
        self.subscriptions: list[Subscription] = []

    async def subscribe(
        self, name: str, function: Callable[[Event], Any], *, reclaim: float = 15.0, **section: Any
    ) -> Subscription:
        spec = SubscriptionSpec.model_validate(
            {
                "stream": "s",
                "handler": "h",
                "from": "beginning",
                "retry": {"attempts": 3, "backoff": "10ms", "jitter": False},
                **section,
            }
        )
        made = Subscription(name, spec, Mark("subscriber", "h", function), self, reclaim=reclaim)
        await made.start()
        self.subscriptions.append(made)
        return made


class Notes:
    """A subscriber that notes the numbers of its events and fails as often as it is told to.

    Args:
        failures: by number, how often.
    """

    def __init__(self, failures: dict[int, int] | None = None) -> None:
        self.tried: list[int] = []
        self.done: list[int] = []
        self.failures = failures or {}
        self._moved = asyncio.Event()

    async def take(self, event: Event) -> None:
        number = event.data["n"]
        self.tried.append(number)
        self._moved.set()
        if self.failures.get(number, 0) > 0:
            self.failures[number] -= 1
            raise ValueError(f"not {number}")
        self.done.append(number)

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._moved.clear()
                await self._moved.wait()


@pytest.fixture(params=["memory", "redis"])
async def bus(request: pytest.FixtureRequest, valkey: ValkeyServer) -> AsyncIterator[Bus]:
    if request.param == "memory":
        made = Bus(MemoryStreams(source="test"))
        yield made
        await _stop(made)
        return
    async with wired(valkey.path) as client:
        made = Bus(RedisStreams(client, f"rt:{secrets.token_hex(4)}:", source="test"))
        yield made
        await _stop(made)


async def _stop(bus: Bus) -> None:
    for subscription in bus.subscriptions:
        await subscription.stop()
    await bus.stop()


async def _append(bus: Bus, event: Event, retention: Retention) -> Event:
    (stored,) = await bus.backend.append("s", [Draft(event, once=False)], retention)
    return stored


async def _figure(subscription: Subscription, name: str, value: int) -> None:
    """Waits until a subscription counts so many."""
    async with asyncio.timeout(10):
        while (await subscription.health()).details[name] != value:
            await asyncio.sleep(0.005)


async def test_what_is_published_is_read_in_order(bus: Bus) -> None:
    published = [await bus.publish("s", "c.d" if n % 5 == 0 else "a.b", {"n": n}, key="k") for n in range(30)]
    assert await bus.read("s") == published
    assert await bus.read("s", after=published[19].position) == published[20:]
    assert await bus.read("s", after=published[-1].position) == []
    assert await bus.read("s", types=frozenset({"c.d"}), limit=3) == published[:11:5]
    assert await bus.read("s", after=published[3].position.partition("-")[0], limit=200)
    view = await bus.stream("s")
    assert (view.length, view.first, view.last) == (30, published[0].position, published[-1].position)


async def test_an_empty_stream_has_no_first(bus: Bus) -> None:
    view = await bus.stream("s")
    assert (view.length, view.first, view.last) == (0, None, "0-0")
    assert await bus.read("s") == []


async def test_what_is_stored_does_not_change_with_the_publishers_object(bus: Bus) -> None:
    data = {"list": [1]}
    await bus.publish("s", "a.b", data)
    data["list"].append(2)
    (event,) = await bus.read("s")
    assert event.data == {"list": [1]}


async def test_the_publishers_id_makes_publishing_idempotent(bus: Bus) -> None:
    first = await bus.publish("s", "a.b", {"n": 1}, id="order-7")
    again = await bus.publish("s", "c.d", {"n": 2}, id="order-7")
    assert again == first
    assert (await bus.stream("s")).length == 1
    assert (await bus.publish("s", "a.b", {"n": 1}, id="order-8")).position != first.position


async def test_events_are_published_together_or_not_at_all(bus: Bus) -> None:
    first = await bus.publish("s", "a.b", {"n": 0}, id="known")
    new = [
        NewEvent("a.b", {"n": 1}, key="k"),
        NewEvent("c.d", {"n": 9}, id="known"),
        NewEvent("c.d", {"n": 2}, id="own"),
    ]
    stored = await bus.publish_all("s", [*new, NewEvent("a.b", {"n": 3}, id="own")])
    assert [event.data["n"] for event in stored] == [1, 0, 2, 2]
    assert stored[1] == first
    assert await bus.read("s") == [first, stored[0], stored[2]]
    wrong = [NewEvent("a.bb", {}), *new, NewEvent("a.b", {}, key=""), NewEvent("a.b", {"n": "x" * 300_000})]
    with pytest.raises(Invalid, match="3 of 6 events cannot be published") as refused:
        await bus.publish_all("s", wrong)
    assert [error.pointer for error in refused.value.errors] == ["/events/0/type", "/events/4/key", "/events/5/data"]
    assert len(await bus.read("s")) == 3
    assert await bus.publish_all("s", []) == []


async def test_a_stream_keeps_about_as_many_as_it_is_told(bus: Bus) -> None:
    event = await bus.publish("s", "a.b", {})
    for n in range(450):
        await _append(bus, replace(event, id=str(n), data={"n": n}), Retention(100, 3600))
    assert 100 <= (await bus.stream("s")).length < 250
    assert (await bus.read("s", limit=250))[-1].data == {"n": 449}


async def test_events_older_than_it_is_told_are_trimmed(bus: Bus) -> None:
    event = await bus.publish("s", "a.b", {})
    for n in range(250):
        last = await _append(bus, replace(event, id=str(n)), Retention(10_000, 3600))
    moment = int(last.position.partition("-")[0]) + 1
    while time.time() * 1000 <= moment:
        await asyncio.sleep(0)
    late = replace(event, id="late", time=datetime.now(UTC))
    stored = await _append(bus, late, Retention(10_000, 0))
    assert (await bus.stream("s")).length < 101
    assert (await bus.stream("s")).last == stored.position


async def test_a_sweep_drops_what_is_too_old_to_the_event(bus: Bus) -> None:
    for n in range(3):
        event = await bus.publish("s", "a.b", {"n": n})
    assert await bus.backend.sweep("s", 3600) == 0
    while time.time() * 1000 <= int(event.position.partition("-")[0]) + 1:
        await asyncio.sleep(0)
    assert await bus.backend.sweep("s", 0) == 3
    view = await bus.stream("s")
    assert (view.length, view.first, view.last, view.published) == (0, None, event.position, 3)


async def test_a_publishers_clock_that_jumps_drops_nothing_and_keeps_the_order(
    bus: Bus,
) -> None:
    """Age is told by the clock of the server, order by positions that never go back."""
    event = await bus.publish("s", "a.b", {"n": 0})
    for n, year in ((1, 2099), (2, 1999)):
        jumped = replace(event, id=str(n), data={"n": n}, time=datetime(year, 1, 1, tzinfo=UTC))
        await _append(bus, jumped, Retention(10_000, 3600))
    assert [event.data["n"] for event in await bus.read("s")] == [0, 1, 2]


async def test_a_subscription_is_told_in_numbers(bus: Bus) -> None:
    assert [each.name for each in (await bus.stream("s")).subscriptions] == ["one", "two"]
    notes = Notes({0: 9})
    for n in range(5):
        await bus.publish("s", "a.b", {"n": n})
    subscription = await bus.subscribe("one", notes.take, retry={"attempts": 1})
    await _figure(subscription, "handled", 4)
    await _figure(subscription, "dead", 1)
    async with asyncio.timeout(10):
        while (view := (await bus.stream("s")).subscriptions[0]).pending:
            await asyncio.sleep(0.005)
    assert (view.lag, view.dead, view.workers) == (0, 1, 1)


async def test_followers_get_what_they_missed_and_what_comes(bus: Bus) -> None:
    missed = [await bus.publish("s", "a.b", {"n": n}) for n in range(3)]
    late: Any = bus.follow("s", after=missed[0].position)
    rare: Any = asyncio.ensure_future(anext(bus.follow("s", after="0", types=frozenset({"c.d"}))))
    async with asyncio.timeout(10):
        assert [(await anext(late)).data["n"] for _ in range(2)] == [1, 2]
        waiting = asyncio.ensure_future(anext(late))
        for n in (3, 4):
            await bus.publish("s", "c.d" if n == 4 else "a.b", {"n": n})
        assert (await waiting).data["n"] == 3
        assert (await anext(late)).data["n"] == 4
        assert (await rare).data["n"] == 4


@pytest.mark.parametrize("start", ["beginning", "new"])
async def test_a_subscriber_slower_than_the_stream_knows_how_many_it_missed(bus: Bus, start: str) -> None:
    notes, go = Notes(), asyncio.Event()

    async def slow(event: Event) -> None:
        await notes.take(event)
        await go.wait()

    old = await bus.publish("s", "a.b", {"n": -1})
    section: dict[str, Any] = {"from": start}
    subscription = await bus.subscribe("sub", slow, **section)
    await _append(bus, replace(old, id="first", data={"n": 0}), Retention(100, 3600))
    await notes.until(lambda: notes.tried)
    for n in range(1, 1000):
        await _append(bus, replace(old, id=str(n), data={"n": n}), Retention(100, 3600))
    kept = (await bus.stream("s")).length
    go.set()
    await notes.until(lambda: 999 in notes.done)
    details = (await subscription.health()).details
    handled = len([n for n in notes.done if n >= 0])
    assert notes.done[-kept:] == list(range(1000 - kept, 1000))
    assert details["missed"] == 1000 - handled > 0


async def test_a_follower_that_was_overtaken_is_told(bus: Bus) -> None:
    events = [await bus.publish("s", "a.b", {"n": n}) for n in range(3)]
    while time.time() * 1000 <= int(events[-1].position.partition("-")[0]) + 1:
        await asyncio.sleep(0)
    await bus.backend.sweep("s", 0)
    gone = bus.follow("s", after=events[0].position)
    assert await anext(gone) == Missed(events[0].position, None)
    fresh = await bus.publish("s", "c.d", {"n": 3})
    assert await anext(gone) == fresh
    late = bus.follow("s", after=events[0].position, types=frozenset({"c.d"}))
    assert [await anext(late), await anext(late)] == [Missed(events[0].position, fresh.position), fresh]
    assert await anext(bus.follow("s", after="0")) == fresh


async def test_every_subscription_gets_every_event_and_its_workers_share_them(bus: Bus) -> None:
    one, two = Notes(), Notes()
    for name, notes in (("one", one), ("two", two), ("two", two)):
        await bus.subscribe(name, notes.take)
    for n in range(20):
        await bus.publish("s", "a.b", {"n": n})
    await one.until(lambda: len(one.done) == 20)
    await two.until(lambda: len(two.done) == 20)
    assert one.done == list(range(20))
    assert sorted(two.done) == list(range(20))
    await _figure(bus.subscriptions[0], "handled", 20)
    assert (await bus.subscriptions[0].health()).details["lag"] == 0


@pytest.mark.parametrize(("start", "expected"), [("beginning", [0, 1, 2]), ("new", [2]), ("position", [1, 2])])
async def test_a_subscription_begins_where_it_says(bus: Bus, start: str, expected: list[int]) -> None:
    notes = Notes()
    first = await bus.publish("s", "a.b", {"n": 0})
    await bus.publish("s", "a.b", {"n": 1})
    section: dict[str, Any] = {"from": first.position if start == "position" else start}
    await bus.subscribe("sub", notes.take, **section)
    await bus.publish("s", "a.b", {"n": 2})
    await notes.until(lambda: 2 in notes.done)
    assert notes.done == expected


async def test_a_failed_event_is_tried_again_and_holds_up_nobody(bus: Bus) -> None:
    notes = Notes({0: 2})
    subscription = await bus.subscribe("sub", notes.take)
    for n in range(3):
        await bus.publish("s", "a.b", {"n": n})
    await notes.until(lambda: 0 in notes.done)
    assert notes.done == [1, 2, 0]
    assert notes.tried.count(0) == 3
    await _figure(subscription, "handled", 3)
    details = (await subscription.health()).details
    assert (details["failed"], details["dead"]) == (2, 0)


async def test_events_of_one_key_keep_their_order(bus: Bus) -> None:
    notes = Notes({0: 1})
    await bus.subscribe("sub", notes.take, concurrency=4)
    for n in range(4):
        await bus.publish("s", "a.b", {"n": n}, key="odd" if n % 2 else "even")
    await notes.until(lambda: len(notes.done) == 4)
    assert [n for n in notes.done if n % 2 == 0] == [0, 2]
    assert [n for n in notes.done if n % 2] == [1, 3]


async def test_an_event_whose_tries_are_spent_is_dead(bus: Bus) -> None:
    notes = Notes({0: 9})
    subscription = await bus.subscribe("sub", notes.take)
    await bus.publish("s", "a.b", {"n": 0})
    await bus.publish("s", "a.b", {"n": 1})
    await _figure(subscription, "dead", 1)
    await _figure(subscription, "handled", 1)
    assert notes.tried.count(0) == 3
    await subscription.stop()
    await subscription.start()
    await bus.publish("s", "a.b", {"n": 2})
    await notes.until(lambda: 2 in notes.done)
    assert notes.tried.count(0) == 3  # it does not come again


async def _buried(bus: Bus, numbers: range, **notes: Notes) -> None:
    """Publishes events that the subscriptions cannot handle, and waits until they are dead."""
    for name, each in notes.items():
        await bus.subscribe(name, each.take, reclaim=0.3, retry={"attempts": 1})
    for n in numbers:
        await bus.publish("s", "a.b", {"n": n}, id=f"id-{n}")
    for subscription in bus.subscriptions:
        await _figure(subscription, "dead", len(numbers))


async def test_dead_events_are_told_by_subscription_page_by_page(bus: Bus) -> None:
    assert await bus.dead("s") == []
    failing = {"one": Notes(dict.fromkeys(range(3), 9)), "two": Notes(dict.fromkeys(range(3), 9))}
    await _buried(bus, range(3), **failing)
    whole = await bus.dead("s")
    assert [(dead.subscription, dead.event.data["n"]) for dead in whole if dead.event] == [
        *(("one", 0), ("one", 1), ("one", 2)),
        *(("two", 0), ("two", 1), ("two", 2)),
    ]
    assert {(dead.error, dead.tries) for dead in whole[:1]} == {("ValueError: not 0", 1)}
    assert whole[0].event == (await bus.read("s"))[0]
    pages = await bus.dead("s", limit=4)
    pages += await bus.dead("s", after=(pages[-1].subscription, pages[-1].letter), limit=4)
    assert pages == whole
    assert await bus.dead("s", subscription="two") == whole[3:]
    with pytest.raises(NotFound, match='no subscription "three"'):
        await bus.dead("s", subscription="three")


async def test_dead_events_are_replayed_to_their_own_subscription(bus: Bus) -> None:
    one, two = Notes(dict.fromkeys(range(3), 1)), Notes(dict.fromkeys(range(3), 1))
    await _buried(bus, range(3), one=one, two=two)
    with pytest.raises(NotFound, match='no dead event "id-9"'):
        await bus.replay("s", ids=frozenset({"id-1", "id-9"}))
    assert len(await bus.dead("s")) == 6
    replayed = await bus.replay("s", subscription="one", ids=frozenset({"id-1"}))
    assert [(dead.subscription, dead.event.id) for dead in replayed.again if dead.event] == [("one", "id-1")]
    await one.until(lambda: one.done == [1])
    assert len((await bus.replay("s", subscription="one")).again) == 2
    await one.until(lambda: sorted(one.done) == [0, 1, 2])
    assert two.tried == [0, 1, 2]
    assert [dead.subscription for dead in await bus.dead("s")] == ["two"] * 3


async def test_a_dead_event_that_the_stream_no_longer_keeps_stays_among_the_dead(bus: Bus) -> None:
    await _buried(bus, range(1), one=Notes({0: 9}))
    event = (await bus.read("s"))[0]
    for n in range(300):
        await _append(bus, replace(event, id=str(n), data={"n": 1}), Retention(1, 3600))
    (dead,) = await bus.dead("s")
    assert dead.event == event
    replayed = await bus.replay("s")
    assert (replayed.again, replayed.gone) == ([], [dead])
    assert await bus.dead("s") == [dead]


async def test_what_is_left_at_the_end_comes_again_without_a_spent_try(bus: Bus) -> None:
    begun: list[int] = []
    moved, go = asyncio.Event(), asyncio.Event()

    async def slow(event: Event) -> None:
        begun.append(event.data["n"])
        moved.set()
        await go.wait()

    subscription = await bus.subscribe("sub", slow, retry={"attempts": 1})
    await bus.publish("s", "a.b", {"n": 0})
    async with asyncio.timeout(10):
        await moved.wait()
    assert subscription._consumer is not None
    await subscription._consumer.end(0.05)
    subscription._consumer = None
    go.set()
    await subscription.start()
    await _figure(subscription, "handled", 1)
    assert begun == [0, 0]
    assert (await subscription.health()).details["dead"] == 0


async def test_the_events_of_a_silent_worker_are_taken_over(bus: Bus) -> None:
    notes = Notes()
    for n in range(3):
        await bus.publish("s", "a.b", {"n": n})
    silent: Any = bus.backend.consumer("sub", "s", TERMS, Handler(_never))
    await silent._seat.create("beginning")
    standing = await silent._seat.sit([])
    assert len((await silent._seat.take(standing.token, [], 2)).entries) == 2
    await bus.subscribe("sub", notes.take, reclaim=0.3, concurrency=2)
    await notes.until(lambda: len(notes.done) == 3)
    assert sorted(notes.done) == [0, 1, 2]
    await silent._seat.close()


async def _never(event: Event) -> None:
    raise AssertionError(event)
