"""The kernel: keeps a set of components running and turns it into another on `apply`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import anyio

from runtime.errors import Fault, NotFound
from runtime.kernel.attempt import Attempt, drain
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
INTERRUPTED = "the apply was interrupted"


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
        """The one that runs."""
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
        recorded: bool = True,
        on_held: Callable[[], None] = lambda: None,
    ) -> Plan:
        """Makes exactly these components run.

        New instances start side by side in the order of their needs; when all are ready and each live field
        is changed, old instances drain and stop. When anything fails before that, what this apply began is
        undone, and what ran before runs on.

        Args:
            components: the whole set; what is not in it is stopped.
            declared: the spec as written, references unresolved, for the journal.
            recorded: whether it makes a revision; false where the spec is the one that runs and only values
                behind its references have changed.
            on_held: called when the new set is in charge and recorded; old instances drain from then on. Must not
                block.

        Returns:
            What was done.

        Raises:
            Fault: the set is wrong, or a component could not start (its own Fault, or `StartFailed`).
        """
        wanted = _by_id(components)
        async with self._applying:
            if self._tasks is None or self._closing:
                raise Fault("the kernel does not run", remedy="Apply inside `async with Kernel()`.")
            steps = plan(self.components, wanted)
            with anyio.CancelScope() as self._apply_scope:
                try:
                    await self._attempt(steps, wanted).carry_out()
                except BaseException as error:
                    reason = error if isinstance(error, Fault) else Fault(INTERRUPTED)
                    self.sockets.prune()
                    with anyio.CancelScope(shield=True):
                        await self._record(declared, steps, reason, recorded)
                    raise
                with anyio.CancelScope(shield=True):
                    self._commit(steps, wanted)
                    await self._record(declared, steps, None, recorded)
                    on_held()
                    await drain(self._leaving, self._limit, replaced=True)
                    self.sockets.prune()
            if self._apply_scope.cancelled_caught:
                raise Fault(INTERRUPTED, remedy="The environment is being stopped.")
            return steps

    async def stop(self) -> None:
        """Drains and stops everything, dependents first; an apply under way is undone before."""
        self.interrupt()
        with anyio.CancelScope(shield=True):
            async with self._applying:
                await drain(self._running, self._limit)
            self.sockets.close()

    def interrupt(self) -> None:
        """Lets no further apply begin, and undoes the one under way."""
        self._closing = True
        if self._apply_scope is not None:
            self._apply_scope.cancel()

    def fail(self, id_: str, error: Exception) -> None:
        """Makes a component die and come back, as if its service had raised `error`: fault injection.

        Raises:
            NotFound: no component has that id.
        """
        self.service(id_)
        self._running[id_].fail(error)

    def hurry(self) -> None:
        """Gives all that drain, or will, one more second: what a second signal asks for."""
        self._hurried = True
        for supervisor in (*self._running.values(), *self._staged.values(), *self._leaving.values()):
            supervisor.hurry(HURRIED)

    def _attempt(self, steps: Plan, wanted: Mapping[str, Component]) -> Attempt:
        return Attempt(
            steps,
            wanted,
            running=self._running,
            staged=self._staged,
            supervise=self._supervise,
            watch=self._watch,
            limit=self._limit,
        )

    def _commit(self, steps: Plan, wanted: Mapping[str, Component]) -> None:
        """The new set is in charge from here on; what it no longer needs is to drain."""
        before, staged = self._running, self._staged
        for id_ in wanted.keys() & before.keys() - staged.keys():
            before[id_].component = wanted[id_]
        self._running = {id_: staged.get(id_) or before[id_] for id_ in Graph(wanted).order}
        self._leaving = {id_: before[id_] for id_ in steps.ids("replace", "remove")}
        self._staged, self._answers = {}, None

    def _limit(self, supervisor: Supervisor) -> float:
        return min(HURRIED, supervisor.component.grace) if self._hurried else supervisor.component.grace

    def _watch(self, supervisor: Supervisor) -> None:
        if self._tasks is not None:
            self._tasks.start_soon(supervisor.run)

    def _supervise(self, component: Component, service: Any) -> Supervisor:
        return Supervisor(component, service, on_change=self._on_change, start_limit=self._start_limit)

    async def _record(
        self, declared: Mapping[str, Any] | None, steps: Plan, error: Fault | None, recorded: bool
    ) -> None:
        journal = self.journal
        if journal is None or not recorded:
            return
        outcome, reason = ("failed", describe(error)) if error else ("applied", None)
        try:
            revision = await anyio.to_thread.run_sync(
                lambda: journal.append(declared or {}, steps.to_data(), outcome, reason, runs=self.revision)
            )
            if error is None:
                self.revision = revision
        except Fault as problem:
            logger.warning("the journal was not written: %s", problem.message)


def _by_id(components: Mapping[str, Component] | Iterable[Component]) -> dict[str, Component]:
    found: dict[str, Component] = {}
    for component in components.values() if isinstance(components, Mapping) else components:
        if component.id in found:
            raise Fault(f'two components have the id "{component.id}"')
        found[component.id] = component
    return found
