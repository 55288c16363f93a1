"""The HTTP calls of routines."""

from typing import Any

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_202_ACCEPTED

from runtime.errors import Invalid, NotFound, Pointer
from runtime.http.access import Caller, scope
from runtime.http.paging import Page
from runtime.http.ports import Port
from runtime.services.jobs.ports import Author, Draft, Jobs
from runtime.services.routines.ports import Routines, RoutineView


class RunStart(msgspec.Struct, forbid_unknown_fields=True):
    """A run to be started.

    Args:
        input: what the routine's `input` asks for.
        marks: what it is, such as `premium`; each changes its priority by the queue's `priority_by`. By default
            `person` for a session, `api` for a key.
    """

    input: dict[str, Any] = {}
    marks: list[str] | None = None


class RunStarted(msgspec.Struct):
    """A run that has been stored: the id of its job, and its status."""

    id: str
    status: str


class RoutineRoutes(Controller):
    """Routines, and starting them. A run is a job: `/v1/jobs/{id}` tells the rest."""

    path = "/v1/routines"
    tags = ["routines"]
    opt = scope("routines:run")

    @get("/", sync_to_thread=False, summary="Every routine with its input and its steps")
    def routines(self, routines: Port[Routines]) -> Page[RoutineView]:
        return Page(list(routines.routines()))

    @get("/{routine:str}", sync_to_thread=False, summary="One routine")
    def routine(self, routine: FromPath[str], routines: Port[Routines]) -> RoutineView:
        return routines.routine(routine)

    @post("/{routine:str}/runs", status_code=HTTP_202_ACCEPTED, summary="Start a run in the caller's name")
    async def start(
        self,
        routine: FromPath[str],
        data: JSONBody[RunStart],
        routines: Port[Routines],
        jobs: Port[Jobs],
        caller: Port[Caller],
    ) -> RunStarted:
        routines.routine(routine)
        if routines.queue is None:
            raise NotFound("no queue runs routines", remedy="Give one the handler `routines.run`.")
        usual = ["person" if caller.session is not None else "api"]
        marks = data.marks if data.marks is not None else [mark for mark in usual if mark in routines.marks]
        payload = {"routine": routine, "input": data.input}
        draft = Draft(payload, owner=caller.account, marks=marks, by=Author.of(caller))
        try:
            job = await jobs.submit(routines.queue, draft)
        except Invalid as error:
            errors = [Pointer(each.pointer.removeprefix("/payload"), each.detail) for each in error.errors]
            raise Invalid(error.message, errors=errors, remedy=error.remedy) from error
        return RunStarted(job.id, job.status)
