"""The documented routes that this version does not have: each answers 501, once the caller has shown its key.

An issue that builds one deletes its row; a row whose route exists is passed over. The rows are no routes of
Litestar's: to make five dozen of them would take longer than all the rest of the application. A request for
one is led to a single route.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable
from functools import lru_cache
from typing import Final, NamedTuple

from litestar import Litestar, route
from litestar.params import FromPath
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send

from runtime.errors import NotBuilt, NotFound
from runtime.http.access import ADMIN, scope, shape
from runtime.http.headers import method_of

ADDRESS: Final = "/not-built"


class Row(NamedTuple):
    """A documented path that is still to come.

    Args:
        methods: separated by spaces.
        path: its parameters in braces, with their type.
        what: what is not built, as the start of a sentence.
    """

    methods: str
    path: str
    what: str


ROWS: Final = (
    Row("GET", "/v1/queues", "The list of queues"),
    Row("GET", "/v1/queues/{queue:str}", "The view of a queue"),
    Row("POST", "/v1/queues/{queue:str}/jobs", "Posting jobs"),
    Row("GET", "/v1/jobs/{job_id:str}", "The view of a job"),
    Row("GET", "/v1/streams", "The list of streams"),
    Row("GET POST", "/v1/streams/{stream:str}/events", "The events of a stream"),
    Row("GET", "/v1/streams/{stream:str}/subscribe", "Subscribing to a stream"),
)


@route(
    f"{ADDRESS}/{{row:int}}",
    http_method=["GET", "POST", "PUT", "DELETE"],
    opt=scope(ADMIN),
    include_in_schema=False,
    sync_to_thread=False,
    status_code=501,
)
def not_built(row: FromPath[int]) -> None:
    """Refuses in the name of a row."""
    if row >= len(ROWS):
        raise NotFound("There is nothing at this address.")
    raise NotBuilt(ROWS[row].what)


class NotBuiltRoutes:
    """Leads a request for what is not built to the route that says so.

    Args:
        litestar: whose own routes come first.
    """

    def __init__(self, app: ASGIApp, litestar: Litestar) -> None:
        self._app = app
        self._rows = _unserved(litestar)
        self._number = lru_cache(1024)(self._find)  # of the instance: one of the class would keep applications alive

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        number = self._number(method_of(scope), scope["path"])
        if number is not None:
            scope["path"] = f"{ADDRESS}/{number}"
        return self._app(scope, receive, send)

    def _find(self, method: str, path: str) -> int | None:
        """The row of a request, if it has one."""
        rows = self._rows.get((method, _head(path)), ())
        return next((number for pattern, number in rows if pattern.fullmatch(path)), None)


def _unserved(litestar: Litestar) -> dict[tuple[str, str], list[tuple[re.Pattern[str], int]]]:
    """The rows without a route, by method and head of the path: few are left to try for a request."""
    served = {
        (method, shape(known.path_format))
        for known in litestar.routes
        if isinstance(known, HTTPRoute)
        for method in known.methods
    }
    found: dict[tuple[str, str], list[tuple[re.Pattern[str], int]]] = {}
    for number, row in enumerate(ROWS):
        for method in row.methods.split():
            if (method, shape(row.path)) not in served:
                found.setdefault((method, _head(row.path)), []).append((_pattern(row.path), number))
    return found


def _head(path: str) -> str:
    return "/".join(path.split("/", 3)[:3])


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{[^}]*:(\w+)\}", path)
    texts = [re.escape(part) if place % 2 == 0 else _PARAMETERS[part] for place, part in enumerate(parts)]
    return re.compile("".join(texts) + "/?")


_PARAMETERS: Final = {"str": "[^/]+", "path": ".+"}
