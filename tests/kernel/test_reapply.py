"""Applies that meet each other, and what whoever asked for one is told: on a kernel of plain services."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from runtime.errors import Conflict, Fault, Outdated, SpecFault, Undone, Unreachable
from runtime.kernel.component import Component
from runtime.kernel.journal import Journal
from runtime.kernel.reconcile import Kernel
from runtime.present import Present
from runtime.reapply import Reapply
from runtime.spec.load import load
from runtime.telemetry.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from anyio.abc import TaskGroup

    from runtime.kernel.reconcile import Kernel as AnyKernel
    from runtime.reapply import Applied
    from tests.kernel.conftest import World


class Secrets:
    """In the place of the component of that name, which is told of each spec that holds."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def adopt(self, uses: object, files: object) -> None: ...


class Staged(Present):
    """Makes components of the world, in place of those of the spec."""

    def __init__(self, file: Path, kernel: AnyKernel, wanted: list[Component]) -> None:
        super().__init__(load(file), kernel, Redactor(["hunter2"]))
        self.wanted = wanted
        self.begin(SimpleNamespace(missing={}), SimpleNamespace(changed=list))  # type: ignore[arg-type]

    async def made(self, loaded: Any) -> Any:
        return SimpleNamespace(missing={}), [Component("secrets", lambda *_: Secrets()), *self.wanted]


class Stage:
    """A reapply, and what it needs."""

    def __init__(self, world: World, file: Path, kernel: AnyKernel, tasks: TaskGroup) -> None:
        self.world = world
        self.file = file
        self.told: list[Applied | Fault] = []
        self.present = Staged(file, kernel, [])
        self.reapply = Reapply(self.present, tasks, on_apply=self.told.append, on_held=lambda: None)
        self.tasks = tasks

    def write(self, **sections: Any) -> None:
        self.file.write_text(json.dumps({"version": 1, "name": "stage", **sections}))

    async def begun(self) -> anyio.Event:
        """Asks for an apply whose component `slow` does not get ready before the gate opens."""
        self.present.wanted = [self.world.component("slow", slow=True)]
        self.write(environment="slow")
        ended = anyio.Event()

        async def run() -> None:
            self.told.append(SimpleNamespace(**await self.reapply.apply()))  # type: ignore[arg-type]
            ended.set()

        self.tasks.start_soon(run)
        await self.until(lambda: "slow" in self.world.waiting)
        return ended

    async def until(self, true: Any) -> None:
        with anyio.fail_after(10):
            while not true():
                await anyio.sleep(0.002)


@asynccontextmanager
async def staged(world: World, folder: Path) -> AsyncIterator[Stage]:
    file = folder / "spec.yaml"
    file.write_text(json.dumps({"version": 1, "name": "stage"}))
    async with anyio.create_task_group() as tasks, Kernel(journal=Journal(folder / "journal")) as kernel:
        stage = Stage(world, file, kernel, tasks)
        await stage.reapply.apply()
        yield stage
        world.gate.set()


async def test_one_wins_and_the_other_is_told(world: World, tmp_path: Path) -> None:
    async with staged(world, tmp_path) as stage:
        ended = await stage.begun()
        with pytest.raises(Conflict, match="another apply is under way"):
            await stage.reapply.apply()
        with pytest.raises(Conflict):
            await stage.reapply.roll_back(1)
        world.gate.set()
        await ended.wait()
        assert [applied.revision for applied in stage.told] == [2]  # type: ignore[union-attr]
        assert (await stage.reapply.apply())["changed"] is False


async def test_a_change_during_an_apply_is_not_forgotten(world: World, tmp_path: Path) -> None:
    async with staged(world, tmp_path) as stage:
        ended = await stage.begun()
        stage.write(environment="later")
        stage.reapply.request("the file changed")
        stage.reapply.request("the file changed")
        assert len(stage.told) == 0
        world.gate.set()
        await ended.wait()
        await stage.until(lambda: len(stage.told) == 2)
        assert [applied.revision for applied in stage.told] == [2, 3]  # type: ignore[union-attr]
        assert stage.present.loaded.spec.environment == "later"


async def test_whoever_asks_hears_when_it_holds_not_when_the_old_has_ended(world: World, tmp_path: Path) -> None:
    draining = anyio.Event()
    world.drains["a"] = draining.wait
    async with staged(world, tmp_path) as stage:
        stage.present.wanted = [world.component("a", fixed=1)]
        stage.write(environment="one")
        await stage.reapply.apply()
        stage.present.wanted = [world.component("a", fixed=2)]
        stage.write(environment="two")
        assert (await stage.reapply.apply())["revision"] == 3
        assert "drained a" not in world.log
        stage.write(environment="three")
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(stage.reapply.apply)
            await anyio.wait_all_tasks_blocked()
            assert stage.reapply.revision == 3  # the old instance first
            draining.set()
        assert stage.reapply.revision == 4


async def test_the_first_failure_is_told_without_secrets(world: World, tmp_path: Path) -> None:
    async with staged(world, tmp_path) as stage:
        stage.present.wanted = [world.component("bad", boom="password hunter2 refused")]
        stage.write(environment="bad")
        with pytest.raises(Undone) as caught:
            await stage.reapply.apply()
        assert "bad: RuntimeError: password *** refused" in caught.value.message
        assert (caught.value.status, caught.value.exit_code, stage.reapply.revision) == (422, 1, 1)
        stage.present.wanted = [world.component("away", boom=Unreachable("away", "there", "refused"))]
        with pytest.raises(Undone) as caught:
            await stage.reapply.apply()
        assert (caught.value.status, caught.value.exit_code) == (503, 3)
        assert stage.present.loaded.spec.environment == "development"


async def test_a_wrong_file_and_a_wrong_revision_touch_nothing(world: World, tmp_path: Path) -> None:
    async with staged(world, tmp_path) as stage:
        stage.present.wanted = [world.component("a")]
        stage.write(environmen="typo")
        for call in (stage.reapply.plan, stage.reapply.apply):
            with pytest.raises(SpecFault):
                await call()
        with pytest.raises(Outdated):
            await stage.reapply.apply(revision=7)
        stage.reapply.request("the file changed")
        await stage.until(lambda: stage.told)
        assert isinstance(stage.told[0], SpecFault)
        assert "a" not in world.made


async def test_an_apply_that_the_end_of_the_environment_meets(world: World, tmp_path: Path) -> None:
    async with staged(world, tmp_path) as stage:
        stage.present.wanted = [world.component("slow", slow=True)]
        stage.write(environment="slow")
        stage.reapply.request("the file changed")
        await stage.until(lambda: "slow" in world.waiting)
        await stage.present.kernel.stop()
        await stage.until(lambda: stage.told)
        assert isinstance(stage.told[0], Undone)
        assert "stop slow" in world.log
