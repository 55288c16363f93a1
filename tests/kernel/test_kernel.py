"""A kernel on plain services: what starts, what is replaced, what is undone, what is stopped."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest

from runtime.errors import Fault, NotFound, StartFailed, Unreachable
from runtime.health import Health
from runtime.kernel.component import Component
from runtime.kernel.journal import Journal
from runtime.kernel.reconcile import Kernel

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.kernel.status import ComponentStatus
    from tests.kernel.conftest import World


def states(kernel: Kernel) -> dict[str, str]:
    return {status.id: status.state for status in kernel.status()}


async def wait_for(condition: object) -> None:
    with anyio.fail_after(5):
        while not condition():  # type: ignore[operator]
            await anyio.sleep(0.001)


async def test_starts_by_need_and_stops_in_reverse(world: World) -> None:
    seen: list[ComponentStatus] = []
    async with Kernel(on_change=seen.append) as kernel:
        steps = await kernel.apply(
            [world.component("api", "bus"), world.component("bus", "redis"), world.component("redis")]
        )
        assert steps.ids("create") == ("redis", "bus", "api")
        assert world.taken() == ["start redis", "start bus", "start api"]
        assert states(kernel) == {"redis": "running", "bus": "running", "api": "running"}
        assert world.service("bus").ports == {"redis": world.service("redis")}
        assert kernel.service("api") is world.service("api")
    assert world.taken() == ["stop api", "stop bus", "stop redis"]
    assert [status.state for status in seen if status.id == "bus"] == [
        "starting",
        "running",
        "stopping",
        "stopped",
    ]
    assert kernel.status() == []


async def test_what_needs_nothing_of_each_other_starts_side_by_side(world: World) -> None:
    async with Kernel() as kernel, anyio.create_task_group() as tasks:
        tasks.start_soon(kernel.apply, [world.component("a", slow=1), world.component("b", slow=1)])
        await wait_for(lambda: world.waiting == {"a", "b"})
        assert states(kernel) == {"a": "starting", "b": "starting"}
        world.gate.set()


async def test_a_slow_one_holds_up_only_those_who_need_it(world: World) -> None:
    async with Kernel() as kernel, anyio.create_task_group() as tasks:
        wanted = [world.component("slow", slow=1), world.component("late", "slow"), world.component("quick")]
        tasks.start_soon(kernel.apply, [*wanted, world.component("follows", "quick")])
        await wait_for(lambda: "start follows" in world.log)
        assert "late" not in world.made
        world.gate.set()


async def test_drains_dependents_before_what_they_need(world: World) -> None:
    drained = anyio.Event()
    world.drains["worker"] = drained.wait
    async with anyio.create_task_group() as tasks, Kernel() as kernel:
        await kernel.apply([world.component("redis"), world.component("worker", "redis"), world.component("lone")])
        world.taken()
        tasks.start_soon(kernel.stop)
        await wait_for(lambda: "stop worker" in world.log)
        await wait_for(lambda: "stop lone" in world.log)
        assert world.service("redis").running
        drained.set()
    assert world.taken()[-2:] == ["drained worker", "stop redis"]


async def test_applying_the_same_set_again_does_nothing(world: World) -> None:
    wanted = [world.component("redis", url="a"), world.component("bus", "redis", live=1)]
    async with Kernel() as kernel:
        await kernel.apply(wanted)
        world.taken()
        assert not await kernel.apply(list(wanted))
        assert world.taken() == []


async def test_what_only_comes_after_is_not_replaced_with_it(world: World) -> None:
    def api() -> Component:
        return replace(world.component("api"), after=frozenset({"worker"}))

    async with Kernel() as kernel:
        await kernel.apply([api(), world.component("worker", fixed=1)])
        assert world.taken() == ["start worker", "start api"]
        steps = await kernel.apply([api(), world.component("worker", fixed=2)])
        assert (steps.ids("replace"), steps.ids("create")) == (("worker",), ())
        assert (await kernel.apply([replace(api(), after=frozenset())])).ids("replace", "update") == ()
        await kernel.apply([api(), world.component("worker")])
        world.taken()
    assert world.taken() == ["stop api", "stop worker"]


async def test_a_replaced_worker_does_not_wait_for_a_replaced_api(world: World) -> None:
    answered = anyio.Event()

    def both(fixed: int) -> list[Component]:
        api = replace(world.component("api", fixed=fixed), after=frozenset({"worker"}))
        return [api, world.component("worker", fixed=fixed)]

    async with Kernel() as kernel, anyio.create_task_group() as tasks:
        await kernel.apply(both(1))
        world.drains["api"] = answered.wait
        tasks.start_soon(kernel.apply, both(2))
        await wait_for(lambda: "stop worker" in world.log)
        answered.set()
        await wait_for(lambda: "drained api" in world.log)


async def test_a_replacement_is_made_before_the_old_one_breaks(world: World) -> None:
    async with Kernel() as kernel:
        await kernel.apply(
            [world.component("redis"), world.component("bus", "redis", x=1), world.component("api", "bus")]
        )
        world.taken()
        await kernel.apply(
            [world.component("redis"), world.component("bus", "redis", x=2), world.component("api", "bus")]
        )
        assert world.taken() == ["start bus", "start api", "stop api", "stop bus"]
        assert kernel.service("api").ports["bus"] is world.service("bus")
        assert len(world.made["redis"]) == 1


async def test_a_live_field_changes_in_place(world: World) -> None:
    async with Kernel() as kernel:
        await kernel.apply([world.component("jobs", live=1, fixed=1)])
        world.taken()
        steps = await kernel.apply([world.component("jobs", live=2, fixed=1)])
        assert steps.ids("update") == ("jobs",)
        assert world.taken() == ["update jobs {'live': 2}"]
        assert kernel.components["jobs"].fields["live"] == 2
        assert not await kernel.apply([world.component("jobs", live=2, fixed=1)])


async def test_what_is_gone_stops(world: World) -> None:
    async with Kernel() as kernel:
        await kernel.apply([world.component("a"), world.component("b")])
        world.taken()
        await kernel.apply([world.component("a")])
        assert world.taken() == ["stop b"]
        assert states(kernel) == {"a": "running"}
        with pytest.raises(NotFound, match='no component "b"'):
            kernel.service("b")


async def test_an_exclusive_one_stops_before_its_successor_starts(world: World) -> None:
    async with Kernel() as kernel:
        await kernel.apply([world.component("db", exclusive=True, x=1)])
        world.taken()
        await kernel.apply([world.component("db", exclusive=True, x=2)])
        assert world.taken() == ["stop db", "start db"]


async def test_an_exclusive_one_comes_back_when_its_successor_fails(world: World) -> None:
    async with Kernel() as kernel:
        await kernel.apply([world.component("db", exclusive=True, x=1)])
        old = world.service("db")
        with pytest.raises(StartFailed):
            await kernel.apply([world.component("db", exclusive=True, x=2, boom="no")])
        assert kernel.service("db") is old
        assert old.running
        assert states(kernel) == {"db": "running"}
        old.die(RuntimeError("gone"))
        await wait_for(lambda: old.starts == 3)


class TestAFailedApply:
    async def test_undoes_only_what_it_began(self, world: World) -> None:
        before = [world.component("redis"), world.component("bus", "redis", x=1), world.component("old")]
        async with Kernel() as kernel:
            await kernel.apply(before)
            running = {id_: kernel.service(id_) for id_ in ("redis", "bus", "old")}
            world.taken()
            with pytest.raises(StartFailed, match="api: RuntimeError: no"):
                await kernel.apply(
                    [
                        world.component("redis"),
                        world.component("bus", "redis", x=2),
                        world.component("api", "bus", boom="no"),
                    ]
                )
            assert world.taken() == ["start bus", "stop api", "stop bus"]
            assert {id_: kernel.service(id_) for id_ in running} == running
            assert all(service.running for service in running.values())
            assert states(kernel) == {"redis": "running", "bus": "running", "old": "running"}
            assert not kernel.plan(before)

    async def test_sets_live_fields_back(self, world: World) -> None:
        before = [world.component("a", live=1), world.component("b", live=1)]
        world.update_errors["b"] = Fault("b refuses")
        async with Kernel() as kernel:
            await kernel.apply(before)
            world.taken()
            with pytest.raises(Fault, match="b refuses"):
                await kernel.apply([world.component("a", live=2), world.component("b", live=2), world.component("c")])
            assert world.taken() == ["start c", "update a {'live': 2}", "update a {'live': 1}", "stop c"]
            assert not kernel.plan(before)

    async def test_goes_on_when_a_live_field_cannot_be_set_back(self, world: World) -> None:
        async with Kernel() as kernel:
            await kernel.apply([world.component("a", live=1), world.component("b", live=1)])
            service, first = world.service("a"), world.service("b")

            async def refuse(fields: object) -> None:
                raise RuntimeError("stuck")

            async def once(fields: object) -> None:
                service.update = refuse  # type: ignore[method-assign]
                raise Fault("b refuses")

            first.update = once  # type: ignore[method-assign]
            with pytest.raises(Fault, match="b refuses"):
                await kernel.apply([world.component("a", live=2), world.component("b", live=2)])
            assert states(kernel) == {"a": "running", "b": "running"}

    async def test_raises_a_services_own_fault_as_it_is(self, world: World) -> None:
        fault = Unreachable("redis", "redis://h", "refused")
        async with Kernel() as kernel:
            with pytest.raises(Unreachable) as caught:
                await kernel.apply([world.component("redis", boom=fault)])
            assert caught.value is fault
            assert kernel.status() == []

    async def test_contains_a_system_exit(self, world: World) -> None:
        async with Kernel() as kernel:
            with pytest.raises(StartFailed, match="uvicorn: SystemExit: 3"):
                await kernel.apply([world.component("uvicorn", boom=SystemExit(3))])

    async def test_names_a_component_that_cannot_be_made(self, world: World) -> None:
        async with Kernel() as kernel:
            with pytest.raises(StartFailed, match="api: ValueError: no such thing"):
                await kernel.apply([world.component("api", unmakeable=True)])

    async def test_cuts_a_start_without_an_end(self, world: World) -> None:
        async with Kernel(start_limit=0.01) as kernel:
            with pytest.raises(StartFailed, match=r"was not ready within 0\.01 s"):
                await kernel.apply([world.component("a", hangs=True)])
        assert world.taken() == ["stop a"]

    async def test_interrupts_others_that_still_start(self, world: World) -> None:
        async with Kernel() as kernel:
            with pytest.raises(StartFailed):
                await kernel.apply([world.component("slow", slow=1), world.component("bad", boom="no")])
        assert sorted(world.taken()) == ["stop bad", "stop slow"]

    async def test_of_a_wrong_set_touches_nothing(self, world: World) -> None:
        async with Kernel() as kernel:
            await kernel.apply([world.component("a")])
            world.taken()
            with pytest.raises(Fault, match="circle"):
                await kernel.apply([world.component("a", "a")])
            with pytest.raises(Fault, match="two components"):
                await kernel.apply([world.component("a"), world.component("a")])
            assert world.taken() == []

    async def test_is_undone_when_it_is_cancelled(self, world: World) -> None:
        async with Kernel() as kernel:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(kernel.apply, [world.component("a"), world.component("b", "a", slow=1)])
                    await wait_for(lambda: world.waiting == {"b"})
                    scope.cancel()
            assert world.taken() == ["start a", "stop b", "stop a"]
            assert kernel.status() == []

    async def test_is_undone_when_the_kernel_stops(self, world: World) -> None:
        caught: list[str] = []

        async def apply() -> None:
            try:
                await kernel.apply([world.component("a", slow=1)])
            except Fault as error:
                caught.append(error.message)

        async with Kernel() as kernel, anyio.create_task_group() as tasks:
            tasks.start_soon(apply)
            await wait_for(lambda: world.waiting == {"a"})
            await kernel.stop()
        assert caught == ["the apply was interrupted"]
        assert world.taken() == ["stop a"]


class TestTheEnd:
    async def test_a_cancelled_environment_drains(self, world: World) -> None:
        async def drain() -> None:
            await anyio.sleep(0.01)

        world.drains["a"] = drain
        with anyio.CancelScope() as scope:
            async with Kernel() as kernel:
                await kernel.apply([world.component("a")])
                world.taken()
                scope.cancel()
                await anyio.sleep_forever()
        assert world.taken() == ["stop a", "drained a"]

    async def test_watching_goes_on_until_a_cancelled_one_has_drained(self, world: World) -> None:
        watched: list[str] = []

        async def drain() -> None:
            await anyio.sleep(0.01)
            watched.append(states(kernel)["a"])

        world.drains["a"] = drain
        with anyio.CancelScope() as scope:
            async with Kernel() as kernel:
                await kernel.apply([world.component("a")])
                scope.cancel()
                await anyio.sleep_forever()
        assert watched == ["stopping"]

    async def test_an_exception_of_the_body_comes_out_as_it_is(self, world: World) -> None:
        async def fail() -> None:
            async with Kernel() as kernel:
                await kernel.apply([world.component("a")])
                raise Fault("mine")

        with pytest.raises(Fault, match=r"^mine$"):
            await fail()
        assert world.taken() == ["start a", "stop a"]

    async def test_a_drain_has_a_limit(self, world: World) -> None:
        world.drains["a"] = anyio.sleep_forever
        seen: list[ComponentStatus] = []
        async with Kernel(on_change=seen.append) as kernel:
            await kernel.apply([world.component("a", grace=0.01), world.component("b")])
        assert {status.id for status in seen if status.state == "stopped"} == {"a", "b"}
        assert any("did not drain in time" in (status.error or "") for status in seen)

    async def test_a_second_signal_hurries(self, world: World) -> None:
        world.drains["a"] = anyio.sleep_forever
        async with Kernel() as kernel, anyio.create_task_group() as tasks:
            await kernel.apply([world.component("a", grace=600), world.component("b", grace=600)])
            world.drains["b"] = anyio.sleep_forever
            tasks.start_soon(kernel.stop)
            await wait_for(lambda: "stop a" in world.log)
            with anyio.fail_after(5):
                kernel.hurry()
                await kernel.stop()

    async def test_a_stop_that_fails_holds_up_nothing(self, world: World) -> None:
        async def fail() -> None:
            raise SystemExit(1)

        world.drains["b"] = fail
        async with Kernel() as kernel:
            await kernel.apply([world.component("a"), world.component("b", "a")])
            world.taken()
        assert world.taken() == ["stop b", "stop a"]

    async def test_nothing_is_applied_afterwards(self, world: World) -> None:
        kernel = Kernel()
        with pytest.raises(Fault, match="does not run"):
            await kernel.apply([world.component("a")])
        async with kernel:
            pass
        with pytest.raises(Fault, match="does not run"):
            await kernel.apply([world.component("a")])


class TestHealth:
    async def test_all_are_asked_side_by_side_and_seldom(self, world: World) -> None:
        met = anyio.Event()

        async def meet() -> Health:
            if len(world.asked) == 2:
                met.set()
            await met.wait()
            return Health("degraded", "slow")

        world.answers = {"a": meet, "b": meet}
        async with Kernel() as kernel:
            await kernel.apply([world.component("a"), world.component("b")])
            assert await kernel.health() == {"a": Health("degraded", "slow"), "b": Health("degraded", "slow")}
            assert await kernel.health() == await kernel.health()
            assert sorted(world.asked) == ["a", "b"]

    async def test_one_that_fails_or_is_silent_is_down(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        async def fail() -> Health:
            raise OSError("no route")

        async def silent() -> Health:
            await anyio.sleep_forever()
            raise AssertionError

        monkeypatch.setattr("runtime.kernel.supervisor.HEALTH_LIMIT", 0.01)
        world.answers = {"fails": fail, "silent": silent}
        async with Kernel() as kernel:
            await kernel.apply([world.component(id_) for id_ in ("fails", "silent", "fine")])
            assert await kernel.health() == {
                "fails": Health("down", "OSError: no route"),
                "silent": Health("down", "no answer within 0.01 s"),
                "fine": Health(details={"starts": 1}),
            }

    async def test_one_that_says_nothing_of_itself_is_fine_while_it_runs(self) -> None:
        class Plain:
            async def start(self) -> None: ...

            async def stop(self) -> None: ...

        async with Kernel() as kernel:
            await kernel.apply([Component("plain", lambda component, ports: Plain())])
            assert await kernel.health() == {"plain": Health()}

    async def test_a_new_set_is_asked_anew(self, world: World) -> None:
        async with Kernel() as kernel:
            await kernel.apply([world.component("a")])
            assert set(await kernel.health()) == {"a"}
            await kernel.apply([world.component("b")])
            assert set(await kernel.health()) == {"b"}


async def test_a_component_without_update_cannot_change_live() -> None:
    class Plain:
        async def start(self) -> None: ...

        async def stop(self) -> None: ...

    def wanted(value: int) -> list[Component]:
        return [Component("plain", lambda component, ports: Plain(), fields={"x": value}, live=frozenset({"x"}))]

    async with Kernel() as kernel:
        await kernel.apply(wanted(1))
        with pytest.raises(Fault, match="cannot change in place"):
            await kernel.apply(wanted(2))


async def test_an_observer_that_fails_disturbs_nothing(world: World) -> None:
    def fail(status: ComponentStatus) -> None:
        raise ValueError("observer")

    async with Kernel(on_change=fail) as kernel:
        await kernel.apply([world.component("a")])
        assert states(kernel) == {"a": "running"}


class TestTheJournal:
    async def test_each_apply_is_recorded_with_its_outcome(self, world: World, tmp_path: Path) -> None:
        journal = Journal(tmp_path / "journal")
        async with Kernel(journal=journal) as kernel:
            await kernel.apply([world.component("a")], declared={"name": "one", "password": "${PASSWORD}"})
            assert kernel.revision is not None
            assert kernel.revision.number == 1
            with pytest.raises(StartFailed):
                await kernel.apply([world.component("b", boom="no")], declared={"name": "two"})
        first, second = journal.list()
        assert (first.outcome, first.error, first.spec) == (
            "applied",
            None,
            {"name": "one", "password": "${PASSWORD}"},
        )
        assert first.plan[0]["action"] == "create"
        assert (second.number, second.outcome, second.error) == (2, "failed", "b: RuntimeError: no")

    async def test_a_revision_that_failed_is_not_the_one_that_runs(self, world: World, tmp_path: Path) -> None:
        async with Kernel(journal=Journal(tmp_path / "journal")) as kernel:
            await kernel.apply([world.component("a")], declared={"name": "one"})
            with pytest.raises(StartFailed):
                await kernel.apply([world.component("b", boom="no")], declared={"name": "two"})
            assert kernel.revision is not None
            assert kernel.revision.number == 1
            await kernel.apply([world.component("a")], declared={"name": "one"})
            assert kernel.revision.number == 1

    async def test_it_is_recorded_before_the_old_ones_have_ended(self, world: World, tmp_path: Path) -> None:
        journal, seen = Journal(tmp_path / "journal"), []

        async def look() -> None:
            seen.append(("drains", len(journal.list())))

        async with Kernel(journal=journal) as kernel:
            await kernel.apply([world.component("a", fixed=1)], declared={"n": 1})
            world.drains["a"] = look
            held = [lambda: seen.append(("held", len(journal.list())))]
            await kernel.apply([world.component("a", fixed=2)], declared={"n": 2}, on_held=held[0])
            world.drains.clear()
        assert seen == [("held", 2), ("drains", 2)]

    async def test_a_journal_that_cannot_be_written_stops_nothing(self, world: World, tmp_path: Path) -> None:
        (tmp_path / "journal").write_text("a file where the folder should be")
        async with Kernel(journal=Journal(tmp_path / "journal")) as kernel:
            await kernel.apply([world.component("a")])
            assert states(kernel) == {"a": "running"}
            assert kernel.revision is None
