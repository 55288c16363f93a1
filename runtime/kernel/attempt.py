"""One apply under way: what it begins, and how that is undone when it fails."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import anyio

from runtime.errors import Fault, StartFailed
from runtime.kernel.status import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime.kernel.component import Component
    from runtime.kernel.plan import Plan
    from runtime.kernel.supervisor import Supervisor

logger = logging.getLogger("runtime.kernel")


class Attempt:
    """Begins what a plan says, beside what runs.

    Args:
        plan: the steps.
        wanted: the whole new set.
        running: what runs; only paused ones are touched here, and come back by `undo`.
        staged: gets the new instances as they are made.
        supervise: makes a supervisor for a service.
        watch: lets a started one be watched.
        limit: seconds that one may drain.
    """

    def __init__(
        self,
        plan: Plan,
        wanted: Mapping[str, Component],
        *,
        running: dict[str, Supervisor],
        staged: dict[str, Supervisor],
        supervise: Callable[[Component, Any], Supervisor],
        watch: Callable[[Supervisor], None],
        limit: Callable[[Supervisor], float],
    ) -> None:
        self._plan = plan
        self._wanted = wanted
        self._running = running
        self._staged = staged
        self._supervise = supervise
        self._watch = watch
        self._limit = limit
        self._updated: list[tuple[Supervisor, Component, tuple[str, ...]]] = []
        self._paused: list[Supervisor] = []

    async def carry_out(self) -> None:
        """Starts the new instances and changes the live fields; when anything fails, all of it is undone.

        Raises:
            Fault: the first failure.
        """
        try:
            await self._start()
            await self._update()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._undo()
            raise

    async def _start(self) -> None:
        """Starts each as soon as all that it needs is ready; the first failure ends it."""
        begun = self._plan.ids("create", "replace")
        ready = {id_: anyio.Event() for id_ in begun}
        failures: list[Fault] = []

        async def begin(component: Component) -> None:
            for need in component.awaits & ready.keys():
                await ready[need].wait()
            try:
                await self._start_one(component)
            except Fault as error:
                failures.append(error)
                tasks.cancel_scope.cancel()
            else:
                ready[component.id].set()

        async with anyio.create_task_group() as tasks:
            for id_ in begun:
                tasks.start_soon(begin, self._wanted[id_])
        if failures:
            raise failures[0]

    async def _start_one(self, component: Component) -> None:
        current = {**self._running, **self._staged}
        ports = {need: current[need].service for need in component.needs}
        old = self._running.get(component.id)
        if old is not None and component.exclusive:
            self._paused.append(old)
            await old.stop(self._limit(old))
        try:
            service = component.factory(component, ports)
        except Fault:
            raise
        except Exception as error:
            raise StartFailed(component.id, describe(error)) from error
        supervisor = self._supervise(component, service)
        self._staged[component.id] = supervisor
        await supervisor.start()
        self._watch(supervisor)

    async def _update(self) -> None:
        for step in self._plan.steps:
            if step.action == "update":
                supervisor, new = self._running[step.id], self._wanted[step.id]
                old = supervisor.component
                await supervisor.update(new, {name: new.fields.get(name) for name in step.fields})
                self._updated.append((supervisor, old, step.fields))

    async def _undo(self) -> None:
        """Sets live fields back, stops the new instances, and starts the paused old ones again."""
        for supervisor, old, fields in reversed(self._updated):
            try:
                await supervisor.update(old, {name: old.fields.get(name) for name in fields})
            except Fault as error:
                logger.error("%s: its live fields could not be set back: %s", old.id, describe(error))
        await drain(self._staged, self._limit)
        for paused in self._paused:
            await self._resume(paused)

    async def _resume(self, paused: Supervisor) -> None:
        supervisor = self._supervise(paused.component, paused.service)
        self._running[paused.component.id] = supervisor
        try:
            await supervisor.start()
        except Fault as error:
            logger.error("%s did not come back yet: %s", paused.component.id, describe(error))
        self._watch(supervisor)


async def drain(
    supervisors: dict[str, Supervisor], limit: Callable[[Supervisor], float], *, replaced: bool = False
) -> None:
    """Stops side by side, each after all that need it, and takes each out when it has stopped.

    Args:
        replaced: whether others are in charge already: then none waits for what only comes after it, and a worker takes
            no more work while an API yet answers.
    """
    leaving = dict(supervisors)
    stopped = {id_: anyio.Event() for id_ in leaving}

    async def end(id_: str, supervisor: Supervisor) -> None:
        for other, dependent in leaving.items():
            if id_ in (dependent.component.needs if replaced else dependent.component.awaits):
                await stopped[other].wait()
        await supervisor.stop(limit(supervisor))
        supervisors.pop(id_, None)
        stopped[id_].set()

    async with anyio.create_task_group() as tasks:
        for id_, supervisor in reversed(leaving.items()):
            tasks.start_soon(end, id_, supervisor)
