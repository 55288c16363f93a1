"""Components whose services only record what is done to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from runtime.health import Health
from runtime.kernel.component import Component

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from runtime.errors import Fault
    from runtime.kernel.component import Ports


class Recorder:
    """A service that does what its fields say: `boom` fails to start, `slow` waits for the world's gate."""

    def __init__(self, world: World, component: Component, ports: Ports) -> None:
        self.world = world
        self.id = component.id
        self.fields = dict(component.fields)
        self.ports = dict(ports)
        self.starts = 0
        self.running = False
        self.dead = anyio.Event()
        self.cause: BaseException | None = None

    async def start(self) -> None:
        self.starts += 1
        self.dead = anyio.Event()
        assert all(port.running for port in self.ports.values()), f"{self.id} started before what it needs"
        if self.fields.get("slow"):
            self.world.waiting.add(self.id)
            await self.world.gate.wait()
        if self.fields.get("hangs"):
            await anyio.sleep_forever()
        error = self.world.start_errors.pop(self.id, None) or self.fields.get("boom")
        if isinstance(error, BaseException):
            raise error
        if error:
            raise RuntimeError(str(error))
        self.running = True
        self.world.log.append(f"start {self.id}")

    async def watch(self) -> None:
        await self.dead.wait()
        if self.cause is not None:
            raise self.cause

    async def update(self, fields: Mapping[str, Any]) -> None:
        if self.id in self.world.update_errors:
            raise self.world.update_errors[self.id]
        self.fields.update(fields)
        self.world.log.append(f"update {self.id} {dict(fields)}")

    async def health(self) -> Health:
        self.world.asked.append(self.id)
        if (answer := self.world.answers.get(self.id)) is not None:
            return await answer()
        return Health(details={"starts": self.starts})

    async def stop(self) -> None:
        self.world.log.append(f"stop {self.id}")
        if drain := self.world.drains.get(self.id):
            await drain()
            self.world.log.append(f"drained {self.id}")
        self.running = False

    def die(self, cause: BaseException | None) -> None:
        self.running = False
        self.cause = cause
        self.dead.set()


@dataclass
class World:
    """What the recorders see and say."""

    log: list[str] = field(default_factory=list)
    made: dict[str, list[Recorder]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    waiting: set[str] = field(default_factory=set)
    gate: anyio.Event = field(default_factory=anyio.Event)
    drains: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    answers: dict[str, Callable[[], Awaitable[Health]]] = field(default_factory=dict)
    start_errors: dict[str, BaseException] = field(default_factory=dict)
    update_errors: dict[str, Fault] = field(default_factory=dict)

    def component(self, id_: str, *needs: str, grace: float = 5.0, exclusive: bool = False, **fields: Any) -> Component:
        """A component whose field `live` changes in place, and any other by replacement."""
        return Component(
            id=id_,
            fields=fields,
            needs=frozenset(needs),
            live=frozenset({"live"}),
            factory=self._make,
            grace=grace,
            exclusive=exclusive,
        )

    def service(self, id_: str) -> Recorder:
        """The newest instance."""
        return self.made[id_][-1]

    def taken(self) -> list[str]:
        """What was done since the last call."""
        taken, self.log[:] = list(self.log), []
        return taken

    def _make(self, component: Component, ports: Ports) -> Recorder:
        if component.fields.get("unmakeable"):
            raise ValueError("no such thing")
        recorder = Recorder(self, component, ports)
        self.made.setdefault(component.id, []).append(recorder)
        return recorder


@pytest.fixture
def world() -> World:
    return World()
