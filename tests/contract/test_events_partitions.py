"""Events of one key, in order and with one worker at a time, while workers come, go and fall silent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from runtime.services.events.consuming import Handler, Terms
from runtime.services.events.partitions import PARTITIONS, partition_of
from runtime.services.events.ports import NewEvent
from runtime.services.events.seat import Taken
from tests.contract.test_events_contract import TERMS, Bus, Notes, _figure, _never, bus

if TYPE_CHECKING:
    from runtime.services.events.ports import Event

__all__ = ["bus"]

KEYED = Terms("beginning", 4, 3, lambda _: 0.01, 0.3, dead_letter=True, key_order=True)


class Witness:
    """A subscriber of several workers that sees what goes wrong with the order of a key."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.seen: dict[str, list[int]] = {}
        self.running: set[str] = set()
        self.overlaps: list[str] = []
        self.by: dict[str, set[str]] = {}
        self.count = 0
        self._moved = asyncio.Event()

    def worker(self, name: str) -> Any:
        async def take(event: Event) -> None:
            key = str(event.key)
            if key in self.running:
                self.overlaps.append(key)
            self.running.add(key)
            await asyncio.sleep(0.001)
            self.running.discard(key)
            self.by.setdefault(name, set()).add(key)
            self.seen.setdefault(key, []).append(event.data["n"])
            self.count += 1
            self._moved.set()

        return take

    async def until(self, count: int) -> None:
        async with asyncio.timeout(20):
            while self.count < count:
                self._moved.clear()
                await self._moved.wait()


async def _publish(bus: Bus, begin: int, end: int, keys: int) -> None:
    for first in range(begin, end, 50):
        numbers = range(first, min(end, first + 50))
        await bus.publish_all("s", [NewEvent("a.b", {"n": n}, key=f"key-{n % keys}") for n in numbers])


def _seat(bus: Bus, terms: Terms) -> Any:
    """A worker's seat without the worker."""
    consumer: Any = bus.backend.consumer("sub", "s", terms, Handler(_never))
    return consumer._seat


async def test_one_key_has_one_worker_at_a_time_while_workers_come_and_go(bus: Bus) -> None:
    witness = Witness(1200)
    first = await bus.subscribe("sub", witness.worker("first"), concurrency=8, reclaim=0.6)
    await _publish(bus, 0, 400, 40)
    await witness.until(100)
    second = await bus.subscribe("sub", witness.worker("second"), concurrency=8, reclaim=0.6)
    third = await bus.subscribe("sub", witness.worker("third"), concurrency=8, reclaim=0.6)
    async with asyncio.timeout(10):  # shares are even again: nobody has more than its part
        while max(len(each._consumer.partitions) for each in (first, second, third)) > PARTITIONS // 3 + 1:  # type: ignore[union-attr]
            await asyncio.sleep(0.01)
    await _publish(bus, 400, 800, 40)
    await witness.until(600)
    await first.stop()
    await _publish(bus, 800, 1200, 40)
    await witness.until(1200)
    await asyncio.sleep(0)
    assert witness.overlaps == []
    assert all(numbers == sorted(numbers) for numbers in witness.seen.values())
    assert sum(map(len, witness.seen.values())) == 1200
    assert all(witness.by.get(name) for name in ("first", "second", "third"))


async def test_who_was_silent_cannot_go_on_where_another_took_over(bus: Bus) -> None:
    notes = Notes()
    for n in range(4):
        await bus.publish("s", "a.b", {"n": n}, key="ada")
    seat = _seat(bus, KEYED)
    await seat.create("beginning")
    standing = await seat.sit([])
    assert standing.partitions == frozenset(range(PARTITIONS))
    taken = (await seat.take(standing.token, [], 2)).entries
    assert len(taken) == 2
    await bus.subscribe("sub", notes.take, reclaim=0.3, concurrency=4)
    await notes.until(lambda: len(notes.done) == 4)
    assert notes.done == [0, 1, 2, 3]
    assert await seat.take(standing.token, [], 2) is None
    assert await seat.mine(standing.token) is None
    assert not await seat.count(taken[0][0], 2)
    assert not await seat.bury(taken[0], "late", 1, keep=True)
    assert await bus.dead("s") == []
    await seat.close()


async def test_an_event_in_anothers_partition_goes_to_its_owner_in_order(bus: Bus) -> None:
    seats: list[Any] = [_seat(bus, KEYED) for _ in range(2)]
    await seats[0].create("beginning")
    one = await seats[0].sit([])
    await seats[1].sit([])
    one = await seats[0].sit([])
    assert one.surplus == PARTITIONS // 2
    given = sorted(one.partitions)[: one.surplus]
    await seats[0].sit(given)
    tokens = [(await seat.sit([])).token for seat in seats]
    keys = {partition_of(f"key-{n}") in given: f"key-{n}" for n in range(200)}
    for n in range(6):
        await bus.publish("s", "a.b", {"n": n}, key=keys[n % 2 == 0])
    mine = (await seats[0].take(tokens[0], [], 10)).entries
    theirs = (await seats[1].take(tokens[1], [], 10)).entries
    assert [b'"n":%d' % n in stored for n, (_, stored) in zip((1, 3, 5), mine, strict=True)] == [True] * 3
    assert [b'"n":%d' % n in stored for n, (_, stored) in zip((0, 2, 4), theirs, strict=True)] == [True] * 3
    assert await seats[0].take(tokens[0], [position for position, _ in mine], 10) == Taken([])
    await seats[1].leave([])
    standing = await seats[0].sit([])
    assert standing.token != tokens[0]
    left = await seats[0].mine(standing.token)
    assert [(position, tries) for position, _, tries in left] == [(position, 1) for position, _ in theirs]
    for seat in seats:
        await seat.close()


async def test_a_poison_event_stops_its_key_for_its_tries_alone(bus: Bus) -> None:
    notes = Notes({0: 99})
    subscription = await bus.subscribe("sub", notes.take, concurrency=2)
    for n in range(3):
        await bus.publish("s", "a.b", {"n": n}, key="ada")
    await notes.until(lambda: notes.done == [1, 2])
    await _figure(subscription, "dead", 1)
    assert notes.tried == [0, 0, 0, 1, 2]


@pytest.mark.parametrize("terms", [TERMS, KEYED])
async def test_a_try_that_was_never_begun_is_not_counted_when_its_worker_leaves(bus: Bus, terms: Terms) -> None:
    seat: Any = _seat(bus, terms)
    await seat.create("beginning")
    token = (await seat.sit([])).token
    await bus.publish("s", "a.b", {"n": 0})
    ((position, _),) = (await seat.take(token, [], 1)).entries
    await seat.leave([position])
    again: Any = _seat(bus, terms)
    token = (await again.sit([])).token
    assert [(each.position, each.tries) for each in await again.mine(token)] == [(position, 0)]
    await again.leave([])
    for each in (seat, again):
        await each.close()


async def test_what_changes_the_context_does_not_reach_the_next_event(bus: Bus) -> None:
    from contextvars import ContextVar

    who: ContextVar[str] = ContextVar("who", default="nobody")
    seen: list[str] = []

    async def take(event: Event) -> None:
        seen.append(who.get())
        who.set(f"event {event.data['n']}")

    subscription = await bus.subscribe("sub", take)
    for n in range(3):
        await bus.publish("s", "a.b", {"n": n})
    await _figure(subscription, "handled", 3)
    assert seen == ["nobody"] * 3


async def test_a_call_that_does_not_end_leaves_its_place_to_others(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.services.events.lane.PATIENCE", (0.05, 0.05))
    go = asyncio.Event()
    seen: list[int] = []

    async def stubborn(event: Event) -> None:
        while event.data["n"] == 0 and not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue
        seen.append(event.data["n"])

    subscription = await bus.subscribe("sub", stubborn, timeout="20ms", retry={"attempts": 1})
    for n in range(3):
        await bus.publish("s", "a.b", {"n": n})
    await _figure(subscription, "handled", 2)
    await _figure(subscription, "dead", 1)
    assert seen == [1, 2]
    go.set()


async def test_what_another_worker_has_put_aside_is_not_waited_for(bus: Bus) -> None:
    terms = Terms("beginning", 4, 3, lambda _: 0.01, 30.0, dead_letter=True, key_order=True)
    one, two = _seat(bus, terms), _seat(bus, terms)
    await one.create("beginning")
    for seat, released in ((one, ()), (two, ()), (one, range(PARTITIONS // 2))):
        await seat.sit(released)
    first, second = (await one.sit(())), (await two.sit(()))
    await _publish(bus, 0, 100, 50)
    own = len((await one.take(first.token, (), 100)).entries)
    assert 0 < own < 100
    left = 100 - own
    while left > 0:  # all is in its box: no take has to wait for the stream to grow
        async with asyncio.timeout(3):
            taken = await two.take(second.token, (), 7, wait=True)
        left -= len(taken.entries)
        await two.acknowledge([position for position, _ in taken.entries])
    assert left == 0
    await one.close()
    await two.close()
