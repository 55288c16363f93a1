"""What subscribers get: every event, again until it is handled, and never for ever."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import NotBuilt
from runtime.services.events.spec import SubscriptionSpec
from runtime.services.events.subscription import Subscription

if TYPE_CHECKING:
    from runtime.services.events.ports import Event
    from runtime.storage.wire import WiredRedis

HERE = Path(__file__).parent


async def until(condition: Any, timeout: float = 10.0) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)


async def pending(at: Any, name: str) -> int:
    return int((await at.client.xpending(at.streams.key("s", "log"), name))["pending"])


async def handled(at: Any, *names: str) -> None:
    async with asyncio.timeout(10):
        for name in names:
            while await pending(at, name):
                await asyncio.sleep(0.005)


async def test_every_subscription_gets_every_event(bus: Any) -> None:
    """In the reference all subscribers shared one group, so that each event reached only one of them."""
    at = bus()
    seen: dict[str, list[int]] = {"one": [], "two": [], "plain": []}
    main = threading.get_ident()

    async def one(event: Event) -> None:
        seen["one"].append(event.data["n"])

    async def two(event: Event) -> None:
        seen["two"].append(event.data["n"])

    def plain(event: Event) -> None:
        assert threading.get_ident() != main
        seen["plain"].append(event.data["n"])

    for name, function in (("one", one), ("two", two), ("plain", plain)):
        await at.subscribe(name, function)
    for n in range(20):
        await at.events.publish("s", "a.b", {"n": n})
    await until(lambda: all(len(got) == 20 for got in seen.values()))
    assert all(got == list(range(20)) for got in seen.values())  # one at a time, in order
    await handled(at, "one", "two", "plain")
    assert (await at.subscriptions[0].health()).details["lag"] == 0


@pytest.mark.parametrize(
    ("start", "expected"),
    [("beginning", [0, 1, 2]), ("new", [2]), ("1000-0", [1, 2]), ("1970-01-01T00:00:02Z", [1, 2])],
)
async def test_a_subscription_begins_where_it_says(
    bus: Any, client: WiredRedis, start: str, expected: list[int]
) -> None:
    """The reference's groups began at the end, and missed what came before."""
    at = bus(retention={"max_age": "36500d"})
    seen: list[int] = []

    async def note(event: Event) -> None:
        seen.append(event.data["n"])

    first = await at.events.publish("s", "a.b", {"n": 0})
    (entry,) = await client.xrange(at.streams.key("s", "log"))
    await client.delete(at.streams.key("s", "log"))
    for n, position in enumerate(["1000-0", "2000-0"]):
        stored = entry[1][b"event"].replace(b'{"n":0}', b'{"n":%d}' % n)
        await client.xadd(at.streams.key("s", "log"), {"event": stored}, id=position)
    await at.subscribe("sub", note, **{"from": start})
    await at.events.publish("s", "a.b", {"n": 2})
    await until(lambda: 2 in seen)
    assert seen == expected
    assert first.data == {"n": 0}


async def test_types_and_values_can_be_chosen(bus: Any) -> None:
    at = bus()
    seen: list[int] = []

    async def note(event: Event) -> None:
        seen.append(event.data["n"])

    await at.subscribe("chosen", note, types=["c.d"], filter={"kind": "x"})
    for n, (kind, type_) in enumerate([("x", "a.b"), ("y", "c.d"), ("x", "c.d")]):
        await at.events.publish("s", type_, {"n": n, "kind": kind})
    await until(lambda: seen == [2])
    await handled(at, "chosen")


async def test_a_poison_event_goes_to_the_dead_letters_and_holds_up_nobody(bus: Any) -> None:
    """The reference claimed poison messages for ever and never dead-lettered one."""
    at = bus()
    tries: Counter[int] = Counter()
    seen: list[int] = []

    async def note(event: Event) -> None:
        tries[event.data["n"]] += 1
        if event.data["n"] == 0:
            raise ValueError("poison")
        seen.append(event.data["n"])

    subscription = await at.subscribe("sub", note, retry={"attempts": 3, "backoff": "150ms", "jitter": False})
    for n in range(6):
        await at.events.publish("s", "a.b", {"n": n})
    await until(lambda: seen == [1, 2, 3, 4, 5])
    assert tries[0] < 3  # the others did not wait for its last try
    await handled(at, "sub")
    assert tries == {0: 3, **dict.fromkeys(range(1, 6), 1)}
    (letter,) = await at.dead("sub")
    assert (letter[b"error"], letter[b"tries"]) == (b"ValueError: poison", b"3")
    assert b'"n":0' in letter[b"event"]
    details = (await subscription.health()).details
    assert (details["handled"], details["failed"], details["dead"]) == (5, 3, 1)


async def test_events_of_one_key_keep_their_order_while_one_is_tried_again(bus: Any) -> None:
    at = bus()
    seen: list[str] = []
    failed = False

    async def note(event: Event) -> None:
        nonlocal failed
        if event.data["n"] == "ada 1" and not failed:
            failed = True
            raise ValueError("once")
        seen.append(event.data["n"])

    await at.subscribe("sub", note, concurrency=4, retry={"attempts": 3, "backoff": "100ms", "jitter": False})
    for n in ("ada 1", "ada 2", "bob 1", "ada 3", "bob 2"):
        await at.events.publish("s", "a.b", {"n": n}, key=n.split()[0])
    await until(lambda: len(seen) == 5)
    assert [n for n in seen if n.startswith("ada")] == ["ada 1", "ada 2", "ada 3"]
    assert [n for n in seen if n.startswith("bob")] == ["bob 1", "bob 2"]
    assert seen[0] == "bob 1"  # another key does not wait


async def test_an_unreadable_entry_is_buried_at_once(bus: Any, client: WiredRedis) -> None:
    at = bus()
    seen: list[str] = []

    async def note(event: Event) -> None:
        seen.append(event.type)

    await client.xadd(at.streams.key("s", "log"), {"event": "no json"})
    await client.xadd(at.streams.key("s", "log"), {"other": "field"})
    await at.subscribe("sub", note)
    await at.events.publish("s", "a.b", {})
    await until(lambda: seen == ["a.b"])
    await handled(at, "sub")
    assert len(await at.dead("sub")) == 2
    assert [event.type for event in await at.events.read("s")] == ["a.b"]


async def test_what_a_subscriber_raises_harms_no_other_event(bus: Any) -> None:
    at = bus()
    seen: list[int] = []

    async def wild(event: Event) -> None:
        if event.data["n"] == 0:
            sys.exit(1)
        if event.data["n"] == 1:
            await asyncio.sleep(60)
        seen.append(event.data["n"])

    await at.subscribe("sub", wild, timeout="50ms", retry={"attempts": 1})
    for n in range(4):
        await at.events.publish("s", "a.b", {"n": n})
    await until(lambda: seen == [2, 3])
    await handled(at, "sub")
    errors = [letter[b"error"] for letter in await at.dead("sub")]
    assert errors == [b"SystemExit: 1", b"TimedOut: took longer than 0.05 s"]


async def test_stopping_drains_and_what_is_left_comes_again_without_a_spent_try(bus: Any) -> None:
    at = bus()
    begun: list[int] = []
    go = asyncio.Event()

    async def slow(event: Event) -> None:
        begun.append(event.data["n"])
        if event.data["n"] == 0:
            await asyncio.sleep(0.05)
        else:
            await go.wait()

    subscription = await at.subscribe("sub", slow, concurrency=2, retry={"attempts": 1})
    for n in range(2):
        await at.events.publish("s", "a.b", {"n": n})
    await until(lambda: len(begun) == 2)
    await subscription._consumer.end(0.2)
    subscription._consumer = None
    assert await pending(at, "sub") == 1
    go.set()
    await subscription.start()
    await handled(at, "sub")
    assert begun == [0, 1, 1]
    assert await at.dead("sub") == []


async def test_the_events_of_a_silent_worker_are_taken_over(bus: Any, client: WiredRedis) -> None:
    at = bus()
    seen: list[int] = []

    async def note(event: Event) -> None:
        seen.append(event.data["n"])

    log = at.streams.key("s", "log")
    await client.xgroup_create(log, "sub", id="0", mkstream=True)
    for n in range(5):
        await at.events.publish("s", "a.b", {"n": n})
    await client.xreadgroup("sub", "dead", {log: ">"}, count=3)
    await at.subscribe("sub", note, reclaim=0.3, concurrency=2)
    await until(lambda: len(seen) == 5)
    assert sorted(seen) == [0, 1, 2, 3, 4]
    await handled(at, "sub")


async def test_a_long_handler_keeps_its_event(bus: Any) -> None:
    at = bus()
    runs: list[int] = []

    async def slow(event: Event) -> None:
        runs.append(event.data["n"])
        await asyncio.sleep(0.6)  # twice the lease

    for _ in range(2):
        await at.subscribe("sub", slow, reclaim=0.3)
    await at.events.publish("s", "a.b", {"n": 0})
    await until(lambda: runs)
    await handled(at, "sub")
    assert runs == [0]


async def test_the_server_is_killed_under_load(bus: Any, mortal_server: Any) -> None:
    client = mortal_server.client(retries=40)
    at = bus(over=client)
    ran: Counter[str] = Counter()

    async def count(event: Event) -> None:
        await asyncio.sleep(0.001)
        ran[event.id] += 1

    await at.subscribe("sub", count, concurrency=8, reclaim=1.0)
    published: list[str] = []
    over = asyncio.Event()

    async def publish() -> None:
        while not over.is_set():
            published.append((await at.events.publish("s", "a.b", {})).id)

    async def grown(by: int) -> None:
        count = len(published) + by
        await until(lambda: len(published) > count, 15)

    publishing = [asyncio.create_task(publish()) for _ in range(3)]
    for _ in range(2):
        await grown(150)
        await asyncio.to_thread(mortal_server.kill)
        await asyncio.to_thread(mortal_server.start)
        await grown(150)
    over.set()
    await asyncio.gather(*publishing)
    await until(lambda: not set(published) - set(ran), 20)
    assert len(published) == len(set(published))
    await handled(at, "sub")
    await at.subscriptions[0].stop()
    await client.aclose()


@pytest.mark.parametrize("instance", ["", "folder-1"])
async def test_a_killed_process_loses_nothing(bus: Any, mortal_server: Any, tmp_path: Path, instance: str) -> None:
    counted = tmp_path / "counted"
    client = mortal_server.client()
    at = bus(over=client)
    total = 300
    for n in range(total):
        await at.events.publish("s", "a.b", {"n": n})
    for _ in range(2):
        known = len(counted.read_text().split()) if counted.exists() else 0
        with _subscriber_process(mortal_server.socket, counted, instance) as process:
            await asyncio.to_thread(_await_lines, counted, known + 50)
            process.send_signal(signal.SIGKILL)
            process.wait()
    with _subscriber_process(mortal_server.socket, counted, instance):
        await until(lambda: len(set(counted.read_text().split())) == total, 20)
    ran = Counter(counted.read_text().split())
    assert sum(ran.values()) - total <= 2 * 25  # what was handled and not acknowledged yet at each kill
    await client.aclose()


@contextlib.contextmanager
def _subscriber_process(socket: Path, counted: Path, instance: str) -> Any:
    process = subprocess.Popen([sys.executable, HERE / "subscriber_process.py", str(socket), str(counted), instance])
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _await_lines(path: Path, count: int) -> None:
    deadline = time.monotonic() + 15
    while not path.exists() or len(path.read_text().split()) < count:
        assert time.monotonic() < deadline, "the subscriber does not come on"
        threading.Event().wait(0.005)


async def test_a_subscriber_that_is_not_built_is_said(bus: Any) -> None:
    spec = SubscriptionSpec.model_validate({"stream": "s", "handler": "audit.record"})
    with pytest.raises(NotBuilt, match=r"audit\.record"):
        await Subscription("audit", spec, None, bus().events).start()


async def test_a_stream_that_is_gone_is_begun_again(bus: Any, client: WiredRedis) -> None:
    at = bus()
    seen: list[int] = []

    async def note(event: Event) -> None:
        seen.append(event.data["n"])

    await at.subscribe("sub", note)
    await client.flushall()
    await at.events.publish("s", "a.b", {"n": 1})
    await until(lambda: seen == [1])


async def test_concurrency_changes_while_it_runs(bus: Any) -> None:
    at = bus()
    running = 0
    go = asyncio.Event()

    async def busy(event: Event) -> None:
        nonlocal running
        running += 1
        await go.wait()

    subscription = await at.subscribe("sub", busy, concurrency=1)
    for n in range(5):
        await at.events.publish("s", "a.b", {"n": n})
    await until(lambda: running == 1)
    await subscription.update({"concurrency": 4})
    await until(lambda: running == 4)
    go.set()
    await handled(at, "sub")
