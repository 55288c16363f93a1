"""The environment itself over HTTP: its revision, its components, its spec."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from litestar import Controller, get

from runtime.http.access import ADMIN, scope
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


def runtime_controller(view: EnvironmentView) -> type[Controller]:
    """The routes that show the environment."""

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

    return RuntimeController
