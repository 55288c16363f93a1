"""The outermost layer: every request is timed, counted and logged, and no exception leaves it."""

from __future__ import annotations

import asyncio
import logging
import time
from http import HTTPStatus
from typing import Final

from litestar.types import ASGIApp, Receive, Scope, Send

from runtime.errors import RequestFault
from runtime.http.access import caller_of
from runtime.http.audit import Audit
from runtime.http.headers import method_of, status_of
from runtime.http.problems import send_problem
from runtime.telemetry.metrics import Metrics

PROBES: Final = frozenset({"/livez", "/readyz", "/healthz", "/metrics"})
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_log = logging.getLogger("runtime.http")


class Stopping(RequestFault):
    """The server ended before the request did."""

    status = 503
    title = "The server is stopping"
    retry_after = 1.0


class Observe:
    """Writes the access log and the figures of each request.

    Args:
        metrics: where the figures go; None for none.
        audit: is told of what was forbidden.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics | None, audit: Audit | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        path = scope["path"]
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - whatever it is: a problem for the caller
            if status_of(scope):  # too late for an answer: the server closes the connection
                _log.error("an answer broke off: %s", type(error).__name__, exc_info=error)
            else:
                await send_problem(send, error, method=method_of(scope))
        except asyncio.CancelledError:  # the server's, at the end of its drain; this is the whole task
            _log.warning("a request was cut off: it did not end in time")
            if not status_of(scope):
                await send_problem(send, Stopping("the server is stopping"), method=method_of(scope))
        finally:
            self._note(scope, path, status_of(scope), time.perf_counter() - started)

    def _note(self, scope: Scope, path: str, status: int, seconds: float) -> None:
        method = method_of(scope)
        if self._metrics is not None:
            route = scope["path_template"] if "route_handler" in scope else "none"
            self._metrics.request(route, method if method in METHODS else "other", status, seconds)
        if status == HTTPStatus.FORBIDDEN and self._audit is not None:
            self._audit.forbidden(scope)
        level = logging.DEBUG if path in PROBES else logging.INFO
        if _log.isEnabledFor(level):
            fields = {"ms": round(seconds * 1000, 1), "caller": caller_of(scope).id}
            _log.log(level, "%s %s %d", method, path, status, extra=fields)
