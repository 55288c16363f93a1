"""What happens when a component dies."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
import pytest

from runtime.errors import Fault, NotFound
from runtime.kernel.component import Component
from runtime.kernel.reconcile import Kernel
from runtime.kernel.supervisor import LONGEST_DELAY, backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.kernel.status import ComponentStatus
    from tests.kernel.conftest import World


class Changes:
    """Waits for a status that fits, among all that came."""

    def __init__(self) -> None:
        self.seen: list[ComponentStatus] = []
        self._changed = anyio.Event()

    def __call__(self, status: ComponentStatus) -> None:
        self.seen.append(status)
        self._changed.set()
        self._changed = anyio.Event()

    async def until(self, fits: Callable[[ComponentStatus], bool]) -> ComponentStatus:
        with anyio.fail_after(5):
            while not (found := [status for status in self.seen if fits(status)]):
                await self._changed.wait()
        return found[0]


@pytest.mark.parametrize(
    ("cause", "error"),
    [
        (RuntimeError("broken\npipe"), "RuntimeError: broken pipe"),
        (SystemExit(3), "SystemExit: 3"),
        (Fault("the server ended"), "the server ended"),
        (None, "RuntimeError: it ended by itself"),
        (asyncio.CancelledError(), "CancelledError"),
        (ExceptionGroup("several", [ValueError("first"), ValueError("second")]), "ValueError: first"),
    ],
)
async def test_one_that_dies_comes_back_and_takes_no_other_with_it(
    world: World, cause: BaseException | None, error: str
) -> None:
    changes = Changes()
    async with Kernel(on_change=changes) as kernel:
        await kernel.apply([world.component("redis"), world.component("api", "redis")])
        service = world.service("redis")
        world.taken()
        service.die(cause)
        status = await changes.until(lambda status: status.restarts == 1)
        assert (status.id, status.state, status.error) == ("redis", "running", error)
        assert world.taken() == ["stop redis", "start redis"]
        assert kernel.service("redis") is service
        assert world.service("api").starts == 1
        assert (await kernel.health())["redis"].healthy


async def test_it_is_tried_until_it_comes_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.kernel.supervisor.FIRST_DELAY", 0.001)
    changes = Changes()
    async with Kernel(on_change=changes) as kernel:
        await kernel.apply([world.component("redis")])
        world.start_errors["redis"] = OSError("still away")
        world.service("redis").die(RuntimeError("gone"))
        status = await changes.until(lambda status: status.state == "failed")
        assert status.error == "OSError: still away"
        status = await changes.until(lambda status: status.restarts == 1)
        assert status.error == "OSError: still away"
        assert world.service("redis").starts == 3


async def test_one_that_is_away_is_down_with_its_reason(world: World) -> None:
    changes = Changes()
    async with Kernel(on_change=changes) as kernel:
        await kernel.apply([world.component("redis")])
        world.start_errors["redis"] = OSError("still away")
        world.service("redis").die(RuntimeError("gone"))
        await changes.until(lambda status: status.state == "failed")
        health = (await kernel.health())["redis"]
        assert (health.status, health.reason) == ("down", "failed: OSError: still away")
        assert world.asked == []


async def test_stopping_one_that_is_away_does_not_wait_for_it(world: World) -> None:
    changes = Changes()
    with anyio.fail_after(5):
        async with Kernel(on_change=changes) as kernel:
            await kernel.apply([world.component("redis")])
            world.start_errors["redis"] = OSError("away")
            world.service("redis").die(None)
            await changes.until(lambda status: status.state == "failed")
    assert world.taken()[-1] == "stop redis"


async def test_stopping_in_the_middle_of_a_restart_ends_it(world: World) -> None:
    changes = Changes()
    async with Kernel(on_change=changes) as kernel:
        await kernel.apply([world.component("redis")])
        service = world.service("redis")
        service.fields["slow"] = True
        service.die(None)
        with anyio.fail_after(5):
            while not world.waiting:
                await anyio.sleep(0.001)
    assert changes.seen[-1].state == "stopped"
    assert world.taken() == ["start redis", "stop redis", "stop redis"]


async def test_dying_while_it_stops_is_no_death(world: World) -> None:
    async def drain() -> None:
        world.service("a").die(RuntimeError("closed"))
        await anyio.sleep(0.01)

    world.drains["a"] = drain
    changes = Changes()
    async with Kernel(on_change=changes) as kernel:
        await kernel.apply([world.component("a")])
    assert [status.state for status in changes.seen] == ["starting", "running", "stopping", "stopped"]
    assert changes.seen[-1].restarts == 0


async def test_a_services_work_inside_watch_is_not_cut_off_by_a_cancellation() -> None:
    log: list[str] = []

    class Server:
        """Serves inside `watch`, as an HTTP server does."""

        def __init__(self) -> None:
            self.asked = anyio.Event()
            self.ended = anyio.Event()

        async def start(self) -> None: ...

        async def watch(self) -> None:
            await self.asked.wait()
            await anyio.sleep(0.01)
            log.append("last request answered")
            self.ended.set()

        async def stop(self) -> None:
            self.asked.set()
            await self.ended.wait()

    with anyio.CancelScope() as scope:
        async with Kernel() as kernel:
            await kernel.apply([Component("http", lambda component, ports: Server())])
            await anyio.sleep(0.001)
            scope.cancel()
            await anyio.sleep_forever()
    assert log == ["last request answered"]


def test_the_first_restart_is_at_once_and_later_ones_wait_longer() -> None:
    assert backoff(0) == 0
    longest = [backoff(failures, spread=lambda: 0.0) for failures in range(1, 12)]
    assert longest[:4] == [0.25, 0.5, 1.0, 2.0]
    assert max(longest) == LONGEST_DELAY
    assert backoff(10_000, spread=lambda: 0.0) == LONGEST_DELAY
    assert backoff(3, spread=lambda: 1.0) == 0.5


async def test_failures_are_forgotten_after_a_stable_minute(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []

    def counted(failures: int) -> float:
        waits.append(failures)
        return 0.0

    monkeypatch.setattr("runtime.kernel.supervisor.backoff", counted)
    changes = Changes()
    async with Kernel(on_change=changes) as kernel:
        await kernel.apply([world.component("a")])
        for restarts in (1, 2):
            world.service("a").die(None)
            await changes.until(lambda status, restarts=restarts: status.restarts == restarts)  # type: ignore[misc]
        assert waits == [0, 1]
        monkeypatch.setattr("runtime.kernel.supervisor.STABLE", 0.0)
        world.service("a").die(None)
        await changes.until(lambda status: status.restarts == 3)
        assert waits == [0, 1, 0]


async def test_a_fault_can_be_injected(world: World) -> None:
    changes = Changes()
    async with Kernel(on_change=changes) as kernel:
        await kernel.apply([world.component("redis")])
        await anyio.sleep(0.001)
        kernel.fail("redis", OSError("pulled the plug"))
        status = await changes.until(lambda status: status.restarts == 1)
        assert status.error == "OSError: pulled the plug"
        assert world.taken() == ["start redis", "stop redis", "start redis"]
        with pytest.raises(NotFound):
            kernel.fail("absent", OSError())
