"""OPTIONS: which methods an address answers to.

Litestar's own answer forgets methods where several handlers share a path, so this one is given in its place.
"""

from __future__ import annotations

from collections.abc import Awaitable

from litestar import Litestar
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send

from runtime.http.access import answers_options, shape
from runtime.http.headers import method_of


class Options:
    """Answers OPTIONS for every route that does not do so itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if method_of(scope) == "OPTIONS" and answers_options(scope["route_handler"]):
            return _answer(scope, send)
        return self._app(scope, receive, send)


async def _answer(scope: Scope, send: Send) -> None:
    allow = ", ".join(sorted(_methods(scope["litestar_app"], scope["path_template"])))
    await send({"type": "http.response.start", "status": 204, "headers": [(b"allow", allow.encode())]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _methods(app: Litestar, template: str) -> set[str]:
    wanted = shape(template)
    return {
        method
        for route in app.routes
        if isinstance(route, HTTPRoute) and shape(route.path_format) == wanted
        for handler in route.route_handlers
        for method in handler.http_methods
    }
