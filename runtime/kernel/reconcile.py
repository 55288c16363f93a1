"""The kernel: keeps a set of components running and turns it into another on `apply`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import anyio

from runtime.errors import Fault, NotFound, StartFailed
from runtime.kernel.graph import Graph
from runtime.kernel.plan import Plan, plan
from runtime.kernel.sockets import Sockets
from runtime.kernel.status import ComponentStatus, describe
from runtime.kernel.supervisor import Notice, Supervisor

if TYPE_CHECKING:
    from types import TracebackType

    from anyio.abc import TaskGroup

    from runtime.health import Health
    from runtime.kernel.component import Component
    from runtime.kernel.journal import Journal, Revision

logger = logging.getLogger("runtime.kernel")

START_LIMIT = 60.0
HURRIED = 1.0
HEALTH_KEPT = 1.0
CANCELLED = "the apply was interrupted"


class Kernel:
    """Runs components, and replaces them by others without a gap.

    Args:
        on_change: called with a component's status at each change of its state; must not block.
        sockets: the listening sockets, which outlive the services that serve on them; closed with the kernel.
        journal: where each apply is recorded; none by default.
        start_limit: seconds that one component may take to become ready.

    Example:
        >>> async with Kernel(on_change=print) as kernel:
        ...     await kernel.apply(components)
        ...     await stop_requested.wait()
    """

    def __init__(
        self,
        *,
        on_change: Notice | None = None,
        sockets: Sockets | None = None,
        journal: Journal | None = None,
        start_limit: float = START_LIMIT,
    ) -> None:
        self.sockets = sockets if sockets is not None else Sockets()
        self.journal = journal
        self.revision: Revision | None = None
        self._on_change = on_change or (lambda status: None)
        self._start_limit = start_limit
        self._running: dict[str, Supervisor] = {}
        self._staged: dict[str, Supervisor] = {}
        self._leaving: dict[str, Supervisor] = {}
        self._applying = anyio.Lock()
        self._apply_scope: anyio.CancelScope | None = None
        self._closing = False
        self._hurried = False
        self._tasks: TaskGroup | None = None
        self._asking = anyio.Lock()
        self._answers: tuple[float, dict[str, Health]] | None = None

    async def __aenter__(self) -> Kernel:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.stop()
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()
            # Not told of `error`: it would come out wrapped in a group.
            await self._tasks.__aexit__(None, None, None)

    @property
    def components(self) -> Mapping[str, Component]:
        """What runs, by id."""
        return {id_: supervisor.component for id_, supervisor in self._running.items()}

    def service(self, id_: str) -> Any:
        """The service of a running component.

        Raises:
            NotFound: no component has that id.
        """
        if id_ in self._running:
            return self._running[id_].service
        near = get_close_matches(id_, self._running, n=1)
        raise NotFound(f'no component "{id_}" runs', remedy=f'Did you mean "{near[0]}"?' if near else "")

    def status(self) -> list[ComponentStatus]:
        """Where each component stands, in the order of starting; one that takes another's place hides it."""
        shown = {**self._leaving, **self._running, **self._staged}
        return [supervisor.status for supervisor in shown.values()]

    async def health(self) -> dict[str, Health]:
        """What each component says of itself, asked side by side; an answer is kept for a second.

        It takes at most a second, and never raises.
        """
        async with self._asking:
            if self._answers is not None and anyio.current_time() - self._answers[0] < HEALTH_KEPT:
                return dict(self._answers[1])
            asked = dict(self._running)
            answers: dict[str, Health] = {}

            async def ask(id_: str, supervisor: Supervisor) -> None:
                answers[id_] = await supervisor.health()

            async with anyio.create_task_group() as tasks:
                for id_, supervisor in asked.items():
                    tasks.start_soon(ask, id_, supervisor)
            answers = {id_: answers[id_] for id_ in asked}
            self._answers = anyio.current_time(), answers
            return dict(answers)

    def plan(self, components: Mapping[str, Component] | Iterable[Component]) -> Plan:
        """What `apply` would do.

        Raises:
            Fault: two components have one id, one needs an unknown one, or there is a circle.
        """
        return plan(self.components, _by_id(components))

    async def apply(
        self,
        components: Mapping[str, Component] | Iterable[Component],
        *,
        declared: Mapping[str, Any] | None = None,
    ) -> Plan:
        """Makes exactly these components run.

        New instances start side by side in the order of their needs; when all are ready and each live field
        is changed, old instances drain and stop. When anything fails before that, what this apply began is
        undone, and what ran before runs on.

        Args:
            components: the whole set; what is not in it is stopped.
            declared: the spec as written, references unresolved, for the journal.

        Returns:
            What was done.

        Raises:
            Fault: the set is wrong, or a component could not start (its own Fault, or `StartFailed`).
        """
        wanted = _by_id(components)
        async with self._applying:
            if self._tasks is None or self._closing:
                raise Fault(
                    "the kernel is not running", remedy="Apply inside `async with Kernel() as kernel:`."
                )
            steps = plan(self.components, wanted)
            with anyio.CancelScope() as self._apply_scope:
                try:
                    await self._carry_out(_Attempt(steps, wanted))
                except Fault as error:
                    await self._record(declared, steps, "failed", error)
                    raise
                except BaseException:
                    with anyio.CancelScope(shield=True):
                        await self._record(declared, steps, "failed", Fault(CANCELLED))
                    raise
                await self._record(declared, steps, "applied", None)
            if self._apply_scope.cancelled_caught:
                raise Fault(CANCELLED, remedy="The environment is being stopped.")
            return steps

    async def stop(self) -> None:
        """Drains and stops everything, dependents first; an apply under way is undone before."""
        self._closing = True
        if self._apply_scope is not None:
            self._apply_scope.cancel()
        with anyio.CancelScope(shield=True):
            async with self._applying:
                await self._stop_all(self._running)
            self.sockets.close()

    def hurry(self) -> None:
        """Gives all that drain, or will, one more second: what a second signal asks for."""
        self._hurried = True
        for supervisor in (*self._running.values(), *self._staged.values(), *self._leaving.values()):
            supervisor.hurry(HURRIED)

    async def _carry_out(self, attempt: _Attempt) -> None:
        try:
            await self._start(attempt)
            await self._update(attempt)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._undo(attempt)
            raise
        with anyio.CancelScope(shield=True):
            await self._commit(attempt)

    async def _start(self, attempt: _Attempt) -> None:
        """Starts what is new, each as soon as all that it needs is ready; the first failure ends it."""
        begun = attempt.plan.ids("create", "replace")
        ready = {id_: anyio.Event() for id_ in begun}
        failures: list[Fault] = []

        async def begin(component: Component) -> None:
            for need in component.needs & ready.keys():
                await ready[need].wait()
            try:
                await self._start_one(component, attempt)
            except Fault as error:
                failures.append(error)
                tasks.cancel_scope.cancel()
            else:
                ready[component.id].set()

        async with anyio.create_task_group() as tasks:
            for id_ in begun:
                tasks.start_soon(begin, attempt.wanted[id_])
        if failures:
            raise failures[0]

    async def _start_one(self, component: Component, attempt: _Attempt) -> None:
        assert self._tasks is not None  # noqa: S101 - apply() has looked
        current = {**self._running, **self._staged}
        ports = {need: current[need].service for need in component.needs}
        old = self._running.get(component.id)
        if old is not None and component.exclusive:
            attempt.paused.append(old)
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
        self._tasks.start_soon(supervisor.run)

    async def _update(self, attempt: _Attempt) -> None:
        for step in attempt.plan.steps:
            if step.action == "update":
                supervisor, new = self._running[step.id], attempt.wanted[step.id]
                old = supervisor.component
                await supervisor.update(new, {name: new.fields.get(name) for name in step.fields})
                attempt.updated.append((supervisor, old, step.fields))

    async def _undo(self, attempt: _Attempt) -> None:
        """Sets live fields back, stops the new instances, and starts the paused old ones again."""
        for supervisor, old, fields in reversed(attempt.updated):
            try:
                await supervisor.update(old, {name: old.fields.get(name) for name in fields})
            except Fault as error:
                logger.error("%s: its live fields could not be set back: %s", old.id, describe(error))
        await self._stop_all(self._staged)
        for paused in attempt.paused:
            await self._resume(paused)

    async def _resume(self, paused: Supervisor) -> None:
        assert self._tasks is not None  # noqa: S101 - apply() has looked
        supervisor = self._supervise(paused.component, paused.service)
        self._running[paused.component.id] = supervisor
        try:
            await supervisor.start()
        except Fault as error:
            logger.error("%s did not come back: %s", paused.component.id, describe(error))
        self._tasks.start_soon(supervisor.run)

    async def _commit(self, attempt: _Attempt) -> None:
        """The new set is in charge from here on; what it no longer needs drains."""
        before, staged = self._running, self._staged
        for id_, component in attempt.wanted.items():
            if id_ in before and id_ not in staged:
                before[id_].component = component
        order = Graph(attempt.wanted).order
        self._running = {id_: staged.get(id_) or before[id_] for id_ in order}
        self._leaving = {id_: before[id_] for id_ in attempt.plan.ids("replace", "remove")}
        self._staged, self._answers = {}, None
        await self._stop_all(self._leaving)
        self.sockets.prune()

    async def _stop_all(self, supervisors: dict[str, Supervisor]) -> None:
        """Stops side by side, each after all that need it, and forgets each when it has stopped."""
        stopped = {id_: anyio.Event() for id_ in supervisors}
        leaving = dict(supervisors)

        async def end(id_: str, supervisor: Supervisor) -> None:
            for other, dependent in leaving.items():
                if id_ in dependent.component.needs:
                    await stopped[other].wait()
            await supervisor.stop(self._limit(supervisor))
            supervisors.pop(id_, None)
            stopped[id_].set()

        async with anyio.create_task_group() as tasks:
            for id_, supervisor in reversed(leaving.items()):
                tasks.start_soon(end, id_, supervisor)
        self._answers = None

    def _limit(self, supervisor: Supervisor) -> float:
        return min(HURRIED, supervisor.component.grace) if self._hurried else supervisor.component.grace

    def _supervise(self, component: Component, service: Any) -> Supervisor:
        return Supervisor(component, service, on_change=self._on_change, start_limit=self._start_limit)

    async def _record(
        self, declared: Mapping[str, Any] | None, steps: Plan, outcome: str, error: Fault | None
    ) -> None:
        if self.journal is None:
            return
        try:
            self.revision = await anyio.to_thread.run_sync(
                lambda: self.journal.append(  # type: ignore[union-attr]
                    declared or {}, steps.to_data(), outcome, describe(error) if error else None
                )
            )
        except Fault as problem:
            logger.warning("the journal was not written: %s", problem.message)


class _Attempt:
    """One apply under way, and what it has done so far."""

    def __init__(self, steps: Plan, wanted: Mapping[str, Component]) -> None:
        self.plan = steps
        self.wanted = wanted
        self.updated: list[tuple[Supervisor, Component, tuple[str, ...]]] = []
        self.paused: list[Supervisor] = []


def _by_id(components: Mapping[str, Component] | Iterable[Component]) -> dict[str, Component]:
    found: dict[str, Component] = {}
    for component in components.values() if isinstance(components, Mapping) else components:
        if component.id in found:
            raise Fault(f'two components have the id "{component.id}"')
        found[component.id] = component
    return found
