"""The environment itself over HTTP: its revision, its components, its spec, and how it becomes another."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import HeaderParameter, JSONBody

from runtime.errors import Invalid, NotBuilt, Pointer
from runtime.http.access import ADMIN, scope
from runtime.http.audit import audited
from runtime.http.paging import After, Limit, Page, cursor, position


class EnvironmentView(Protocol):
    """What a caller may see of the environment; plain data, no secret in it."""

    async def summary(self) -> Mapping[str, Any]:
        """Name, revision, since when, and the components with their state and health."""
        ...

    def spec(self) -> Mapping[str, Any]:
        """The spec as declared, with every default, secrets masked."""
        ...

    def revisions(self) -> Sequence[Mapping[str, Any]]:
        """The journal, newest first; each has an integer `number`."""
        ...


class EnvironmentControl(Protocol):
    """What makes another environment of the one that runs.

    A spec is read from the environment's own file alone: one that came with a request could name any file that the
    process may read.
    """

    async def plan(self) -> Mapping[str, Any]:
        """What an apply of the file would do."""
        ...

    async def apply(self, *, revision: int | None = None) -> Mapping[str, Any]:
        """Reads the file again and makes it hold, where that revision runs."""
        ...

    async def roll_back(self, number: int | None, *, revision: int | None = None) -> Mapping[str, Any]:
        """Makes an earlier revision hold."""
        ...


class StepShown(msgspec.Struct):
    """What happens to a component, why, and what becomes of its work in flight."""

    action: Literal["create", "replace", "update", "remove"]
    id: str
    title: str
    reason: str
    effect: str
    fields: list[str]


class PlanShown(msgspec.Struct):
    """What an apply does; `revision` runs now, `changed` tells whether anything happens to a component."""

    file: str
    revision: int
    changed: bool
    steps: list[StepShown]
    warnings: list[str]


class AppliedShown(PlanShown):
    """What an apply has done; `seconds` until it held."""

    seconds: float


class RollbackRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The revision that is to hold again; the one before the present one, where none is named."""

    revision: Annotated[int, msgspec.Meta(ge=1, le=2**53)] | None = None


IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match", max_length=32, description="The revision that must run, as a number; else 412 is answered."
    ),
]


def runtime_controller(view: EnvironmentView, control: EnvironmentControl | None = None) -> type[Controller]:
    """The routes that show the environment, and those that change it.

    Args:
        control: without it those answer 501.
    """

    def controlled() -> EnvironmentControl:
        if control is None:
            raise NotBuilt("Changing this environment over HTTP")
        return control

    class RuntimeController(Controller):
        path = "/v1/runtime"
        tags = ["runtime"]
        opt = scope(ADMIN)

        @get(summary="What runs")
        async def summary(self) -> dict[str, Any]:
            return dict(await view.summary())

        @get("/spec", summary="The spec that runs, secrets masked", sync_to_thread=False)
        def spec(self) -> dict[str, Any]:
            return dict(view.spec())

        @get("/revisions", summary="What was applied, newest first", sync_to_thread=True)
        def revisions(self, limit: Limit = 50, after: After = None) -> Page[dict[str, Any]]:
            below = position("revisions", after) if after is not None else None
            left = [dict(item) for item in view.revisions() if below is None or item["number"] < below]
            more = len(left) > limit
            return Page(left[:limit], cursor("revisions", left[limit - 1]["number"]) if more else None)

        @post("/plan", status_code=200, summary="What an apply of the environment's file would do")
        async def plan(self, request: Request[Any, Any, Any]) -> PlanShown:
            await _require_no_body(request)
            return msgspec.convert(await controlled().plan(), PlanShown)

        @post(
            "/apply",
            opt=audited("spec.submit", "revision:{revision}"),
            status_code=200,
            summary="Read the environment's file again and make it hold",
        )
        async def apply(self, request: Request[Any, Any, Any], if_match: IfMatch = None) -> AppliedShown:
            await _require_no_body(request)
            return msgspec.convert(await controlled().apply(revision=_revision(if_match)), AppliedShown)

        @post(
            "/rollback",
            opt=audited("spec.rollback", "revision:{revision}"),
            status_code=200,
            summary="Make an earlier revision hold, as a new one",
        )
        async def rollback(self, data: JSONBody[RollbackRequest], if_match: IfMatch = None) -> AppliedShown:
            done = await controlled().roll_back(data.revision, revision=_revision(if_match))
            return msgspec.convert(done, AppliedShown)

    return RuntimeController


async def _require_no_body(request: Request[Any, Any, Any]) -> None:
    """Refuses a spec in the request.

    Raises:
        Invalid: there is a body.
    """
    if (await request.body()).strip() not in (b"", b"{}"):
        raise Invalid(
            "this call takes no body: the environment reads its own file",
            errors=[Pointer("", "a spec is not taken over HTTP, since it could name any file of the host")],
            remedy="Change the file where the environment runs, then call again without a body.",
        )


def _revision(if_match: str | None) -> int | None:
    """The number in `If-Match`: `12`, `"12"` or `*`.

    Raises:
        Invalid: it is something else.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    if (found := re.fullmatch(r'\s*"?([0-9]{1,15})"?\s*', if_match)) is None:
        raise Invalid("If-Match is no revision", errors=[Pointer("#If-Match", 'a number, such as 12 or "12"')])
    return int(found[1])
