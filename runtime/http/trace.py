"""A span for each request; the caller's trace goes on in it.

Source: W3C Trace Context, `traceparent`, and `traceresponse` of its level 2; OpenTelemetry's conventions for HTTP
server spans.
"""

from __future__ import annotations

from collections.abc import Awaitable

from litestar.types import ASGIApp, Receive, Scope, Send

from runtime.http.headers import add_to_answer, header, method_of, status_of
from runtime.http.observe import METHODS, PROBES
from runtime.telemetry.tracing import NEW, Tracing


class Traced:
    """Traces requests, where anybody takes traces."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if self._tracing.tracer is None or scope["path"] in PROBES:
            return self._app(scope, receive, send)
        return self._traced(scope, receive, send)

    async def _traced(self, scope: Scope, receive: Receive, send: Send) -> None:
        tracer = self._tracing.tracer
        assert tracer is not None  # noqa: S101 - `__call__` has seen it
        method = method_of(scope) if method_of(scope) in METHODS else "_OTHER"
        span = tracer.begin(
            method,
            "server",
            {"http.request.method": method, "url.scheme": scope["scheme"]},
            parent=_said(scope, b"traceparent") or NEW,
            state=_said(scope, b"tracestate"),
        )
        add_to_answer(scope, (b"traceresponse", span.traceparent.encode()))
        try:
            await self._app(scope, receive, send)
        finally:
            status = status_of(scope)
            # Never the path itself: some have a part that is a secret, such as a signed link's.
            route = scope["path_template"] if "route_handler" in scope else ""
            span.rename(f"{method} {route}".strip())
            if route:
                span.set("http.route", route)
                span.set("url.path", route)
            if status:
                span.set("http.response.status_code", status)
            span.end(str(status) if status >= 500 else "" if status else "aborted")


def _said(scope: Scope, name: bytes) -> str:
    return (header(scope, name) or b"").decode("latin-1")
