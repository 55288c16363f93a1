"""Faults with real processes and a real server: every event is accounted for, and a key never has two workers."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Invalid
from runtime.services.events.adapters.redis import RedisStreams
from runtime.services.events.ports import NewEvent
from runtime.services.events.service import EventBus
from runtime.services.events.spec import EventsSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

HERE = Path(__file__).parent
KEYS = 16


class Workers:
    """Processes that share the subscription `sub`, and what they have written."""

    def __init__(self, server: Any, path: Path) -> None:
        self.path = path
        self._server = server
        self.processes: list[subprocess.Popen[bytes]] = []

    async def begin(self, count: int) -> None:
        for _ in range(count):
            line: list[str | Path] = [
                sys.executable,
                HERE / "faulty_process.py",
                str(self._server.socket),
                str(self.path),
            ]
            self.processes.append(subprocess.Popen(line))
        pids = {str(process.pid) for process in self.processes}
        await self.until(lambda: pids <= {pid for what, _, _, pid in self.lines() if what == "up"})

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def ended(self) -> set[int]:
        """The events whose handler has returned."""
        return {int(n) for what, _, n, _ in self.lines() if what == "end"}

    def busy(self) -> subprocess.Popen[bytes]:
        """The process that began something last."""
        pid = next(pid for what, _, _, pid in reversed(self.lines()) if what == "begin")
        return next(process for process in self.processes if str(process.pid) == pid)

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.01)

    def check_order(self, fallen: frozenset[int] | None = frozenset()) -> None:
        """Of each key the events begin in order, and what one worker has ended no other begins.

        Args:
            fallen: workers that were ended or stopped: what they had not acknowledged is done again, from there on in
                order. None for all of them.
        """
        most: dict[str, int] = {}
        last: dict[str, tuple[int, str]] = {}
        ended: dict[str, str] = {}
        begun: dict[str, str] = {}
        for what, key, n, pid in self.lines():
            if what == "begin":
                number = int(n)
                before, by = last.get(key, (-1, pid))
                assert number >= before or by != pid or fallen is None, f"{n} of {key} after {before} in {pid}"
                known = n in ended or number <= most.get(key, -1)
                assert (
                    not known or number == before or fallen is None or int(ended.get(n, begun.get(n, by))) in fallen
                ), f"{n} of {key} began in {pid}; ended in {ended.get(n)}, begun in {begun.get(n)} before"
                if not known:
                    most[key] = number
                last[key] = (number, pid)
                begun[n] = pid
            elif what == "end":
                ended[n] = pid
        firsts: dict[str, list[int]] = {}
        for what, key, n, _ in self.lines():
            if what == "begin" and int(n) not in firsts.setdefault(key, []):
                firsts[key].append(int(n))
        assert all(numbers == sorted(numbers) for numbers in firsts.values())


@pytest.fixture
async def workers(mortal_server: Any, tmp_path: Path) -> AsyncIterator[Workers]:
    made = Workers(mortal_server, tmp_path / "lines")
    yield made
    made.end()


@pytest.fixture
async def events(mortal_server: Any) -> AsyncIterator[EventBus]:
    client = mortal_server.client(retries=60)
    spec: dict[str, Any] = {"streams": {"s": {"events": {"a.b": {}}}}}
    bus = EventBus(EventsSpec.model_validate(spec), RedisStreams(client, "rt:test:"))
    yield bus
    await bus.stop()
    await client.aclose()


async def publish(events: EventBus, begin: int, end: int) -> None:
    for first in range(begin, end, 20):
        numbers = range(first, min(end, first + 20))
        await events.publish_all("s", [NewEvent("a.b", {"n": n}, key=f"k{n % KEYS}") for n in numbers])


async def test_workers_that_are_killed_and_stopped_lose_nothing_and_keep_the_order(
    workers: Workers, events: EventBus
) -> None:
    await publish(events, 0, 600)
    await workers.begin(3)
    await workers.until(lambda: len(workers.ended()) > 100)
    killed = workers.busy()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    stopped = next(process for process in workers.processes if process is not killed)
    stopped.send_signal(signal.SIGSTOP)
    await publish(events, 600, 1200)
    await workers.begin(1)
    await workers.until(lambda: len(workers.ended()) == 1200)
    stopped.send_signal(signal.SIGCONT)
    await publish(events, 1200, 1500)
    await workers.until(lambda: len(workers.ended()) == 1500)
    workers.check_order(frozenset({killed.pid, stopped.pid}))


async def test_a_server_that_is_killed_loses_nothing_and_keeps_the_order(
    workers: Workers, events: EventBus, mortal_server: Any
) -> None:
    await workers.begin(2)
    publishing = asyncio.create_task(publish(events, 0, 2000))
    await workers.until(lambda: len(workers.ended()) > 100)
    await asyncio.to_thread(mortal_server.kill)
    await asyncio.to_thread(mortal_server.start)
    await publishing
    await workers.until(lambda: len(workers.ended()) == 2000)
    workers.check_order(None)
    assert (await events.stream("s")).length == 2000  # none was stored twice


async def test_a_clock_that_jumps_changes_nothing(workers: Workers, events: EventBus) -> None:
    await publish(events, 0, 200)
    await workers.begin(2)
    await workers.until(lambda: len(workers.ended()) > 50)
    workers.processes[0].send_signal(signal.SIGUSR1)
    await publish(events, 200, 400)
    await workers.until(lambda: len(workers.ended()) == 400)
    workers.check_order()
    assert len([line for line in workers.lines() if line[0] == "begin"]) == 400


async def test_a_lease_of_a_future_that_was_put_back_does_not_last(workers: Workers, events: EventBus) -> None:
    """The server's clock was ahead when a worker took its seat; the worker is dead, and the clock is right again."""
    assert isinstance(events.backend, RedisStreams)
    await publish(events, 0, 20)
    redis: Any = events.backend.redis
    seats, parts = events.backend.key("s", "seats:sub"), events.backend.key("s", "parts:sub")
    await redis.hset(seats, "dead", "1 99999999999999")
    await redis.hset(parts, mapping={str(part): "dead" for part in range(64)})
    await workers.begin(1)
    await workers.until(lambda: len(workers.ended()) == 20)
    workers.check_order()


async def test_a_poison_event_dies_alone(workers: Workers, events: EventBus) -> None:
    await publish(events, 0, 40)
    await events.publish("s", "a.b", {"n": 40, "poison": True}, key="k8")
    await publish(events, 41, 80)
    await workers.begin(2)
    await workers.until(lambda: len(workers.ended()) == 79)
    workers.check_order()
    letters = await events.backend.dead("s", "sub", "0", 10)
    assert [(letter.event and letter.event.data["n"], letter.tries) for letter in letters] == [(40, 2)]


async def test_a_schema_that_changed_refuses_new_events_and_loses_no_old_one(
    workers: Workers, events: EventBus, tmp_path: Path
) -> None:
    await publish(events, 0, 20)
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps({"type": "object", "required": ["total"]}))
    spec = {"streams": {"s": {"events": {"a.b": {"schema": str(schema)}}}}}
    changed = EventBus(EventsSpec.model_validate(spec), events.backend)
    with pytest.raises(Invalid):
        await changed.publish("s", "a.b", {"n": 20}, key="k1")
    gone = EventBus(EventsSpec.model_validate({"streams": {"s": {"events": {"c.d": {}}}}}), events.backend)
    assert len(await gone.read("s")) == len(await changed.read("s")) == 20
    await workers.begin(1)
    await workers.until(lambda: len(workers.ended()) == 20)
