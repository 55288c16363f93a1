"""The routines of the spec: what can be started, and with what."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from runtime.errors import Fault, Invalid, NotFound, Pointer, StartFailed
from runtime.health import Health
from runtime.services.names import unknown
from runtime.services.routines.adapters.http import HttpRequests
from runtime.services.routines.input import checked
from runtime.services.routines.routine import Routine, routine
from runtime.services.routines.spec import RoutineSpec
from runtime.services.routines.workers import RunRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.services.routines.ports import RoutineView


class RoutineService:
    """Holds the routines ready; implements the port `Routines`. They are run by the workers of a queue.

    Args:
        specs: the `routines` section.
        queue: the queue whose jobs are runs.
        marks: the marks that change the priority of its jobs.
    """

    def __init__(self, specs: Mapping[str, RoutineSpec], queue: str | None, marks: frozenset[str]) -> None:
        self.queue = queue
        self.marks = marks
        self._specs = specs
        self._routines: dict[str, Routine] = {}
        self._requests = HttpRequests()

    async def start(self) -> None:
        """Reads their code and compiles their expressions.

        Raises:
            StartFailed: one of them cannot be used.
        """
        try:
            self._routines = await self._made(self._specs)
        except Fault as error:
            raise StartFailed("routines", error.message, remedy=error.remedy) from error

    async def stop(self) -> None:
        await self._requests.close()

    async def update(self, fields: Mapping[str, Any]) -> None:
        """Takes over changed routines; a run that has begun goes on with what it began with."""
        specs = self._specs
        if "routines" in fields:
            specs = {name: RoutineSpec.model_validate(spec) for name, spec in fields["routines"].items()}
        self._routines = await self._made(specs)
        self._specs = specs

    async def health(self) -> Health:
        return Health(details={"routines": len(self._routines)})

    def routines(self) -> Sequence[RoutineView]:
        return [each.view for each in self._routines.values()]

    def routine(self, name: str) -> RoutineView:
        return self._find(name).view

    def accept(self, payload: Mapping[str, Any]) -> RunRequest:
        """What a job asks for.

        Args:
            payload: of a job of the queue.

        Raises:
            Invalid: there is no such routine, or the input does not fit it; with a pointer to each wrong place.
        """
        strange = [Pointer(f"/payload/{key}", "there is no such field") for key in payload if key not in _FIELDS]
        if strange:
            raise Invalid("a run is started with `routine` and `input`", errors=strange)
        name = payload.get("routine")
        if not isinstance(name, str):
            raise Invalid("`routine` must name a routine", errors=[Pointer("/payload/routine", "must be a text")])
        try:
            found = self._find(name)
        except NotFound as error:
            pointers = [Pointer("/payload/routine", error.message)]
            raise Invalid(error.message, errors=pointers, remedy=error.remedy) from error
        return RunRequest(found, checked(name, found.input, payload.get("input", {})))

    def _find(self, name: str) -> Routine:
        try:
            return self._routines[name]
        except KeyError:
            raise unknown("routine", name, self._routines) from None

    async def _made(self, specs: Mapping[str, RoutineSpec]) -> dict[str, Routine]:
        def make() -> dict[str, Routine]:
            return {name: routine(name, spec, self._requests) for name, spec in specs.items()}

        return await asyncio.to_thread(make)


_FIELDS = ("routine", "input")
