"""The application: Litestar with the services' controllers, inside the layers that every request passes.

SecurityHeaders · RequestId · Traced · Observe       every request, also those that find no route
CORS, routing                                        Litestar's
Options · Audited · Guard · RateLimit · Bodies · Idempotency   every route
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Controller, Litestar, Response, Router, get
from litestar.config.cors import CORSConfig
from litestar.enums import MediaType, ScopeType
from litestar.openapi.config import OpenAPIConfig
from litestar.types import ASGIApp, Receive, Scope, Send

from runtime.http.access import OPEN, Access, Visitors, require_declared, scope
from runtime.http.audit import Audit, Audited
from runtime.http.body import Bodies
from runtime.http.dashboard.routes import ROUTES as DASHBOARD
from runtime.http.docs import POLICY, page
from runtime.http.guard import Guard, Refused
from runtime.http.headers import SecurityHeaders
from runtime.http.health import HealthSource, health_controller
from runtime.http.idempotency import Idempotency
from runtime.http.json import JsonRequest, JsonResponse
from runtime.http.limits import Limiter, RateLimit
from runtime.http.live import Live
from runtime.http.not_built import NotBuiltRoutes, not_built
from runtime.http.observe import Observe
from runtime.http.openapi import complete
from runtime.http.options import Options
from runtime.http.ports import hand_over, provided
from runtime.http.problems import handle
from runtime.http.request_id import RequestId
from runtime.http.revoked import Watch
from runtime.http.runtime_routes import EnvironmentControl, EnvironmentView, runtime_controller
from runtime.http.trace import Traced
from runtime.http.websocket import Session, WebSockets
from runtime.storage.ports import Cache
from runtime.telemetry.audit import Recorder
from runtime.telemetry.metrics import CONTENT_TYPE, Metrics
from runtime.telemetry.tracing import Tracing

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from runtime.http.spec import ApiSpec

_TOLD = [
    "Idempotency-Replayed",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "Traceresponse",
    "X-Request-ID",
    "X-Runtime-Attempts",
    "X-Runtime-Cost",
    "X-Runtime-Flagged",
    "X-Runtime-Ignored",
    "X-Runtime-Model",
    "X-Runtime-Provider",
]


class Api:
    """The ASGI application, and what of it changes while it runs. Making it does no I/O.

    Args:
        settings: the spec's `api` section.
        name: the environment's.
        version: of the runtime.
        access: who knows the callers.
        health: who knows the services.
        cache: where answers to an `Idempotency-Key` are kept, shared over instances.
        view: what `/v1/runtime` shows; without it those routes answer 404.
        control: what plans and applies there; without it those routes answer 501.
        controllers: the services' routes.
        dependencies: what handlers ask for by keyword name, as `jobs: Port[Jobs]`; `caller` is always there.
        redis: where instances share the counts of `api.rate_limit`; without it each counts alone.
        prefix: of the keys in Redis.
        metrics: the figures; without them `metrics_path` answers 404.
        metrics_path: where they are served.
        refused: is told of wrong credentials.
        sockets: what speaks with the clients of a WebSocket, by path.
        visitors: who knows the callers that come by cookies.
        tracing: where requests are traced.
        watch: who tells when a caller is revoked; streams and WebSockets end then.
        recorder: who writes down the acts that routes declare, and what was forbidden.

    Raises:
        Undeclared: a route does not say who may call it.

    Example:
        >>> api = Api(
        ...     spec.api, name="core", version="0.1.0", access=OperatorKey.open(path), health=source,
        ...     cache=cache, controllers=[JobRoutes], dependencies={"jobs": jobs}, redis=client,
        ... )
    """

    def __init__(
        self,
        settings: ApiSpec,
        *,
        name: str,
        version: str,
        access: Access,
        health: HealthSource,
        cache: Cache,
        view: EnvironmentView | None = None,
        control: EnvironmentControl | None = None,
        controllers: Sequence[type[Controller]] = (),
        dependencies: Mapping[str, object] | None = None,
        redis: Redis | None = None,
        prefix: str = "rt:",
        metrics: Metrics | None = None,
        metrics_path: str = "/metrics",
        sockets: Mapping[str, Session] | None = None,
        refused: Refused | None = None,
        visitors: Visitors | None = None,
        watch: Watch | None = None,
        tracing: Tracing | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.live = Live(settings.rate_limit, settings.max_body)
        self.limiter = Limiter(redis, f"{prefix}limit:")
        self._document: dict[str, Any] = {}
        guard = partial(
            Guard,
            access=access,
            limiter=self.limiter,
            live=self.live,
            refused=refused,
            visitors=visitors,
            watch=watch,
        )
        audit = Audit(recorder) if recorder is not None else None
        routes: list[Any] = [*self._pages(), not_built, *controllers, health_controller(health, version)]
        if view is not None:
            routes.append(runtime_controller(view, control))
        if metrics is not None:
            routes.append(_metrics_route(metrics, metrics_path))
        self.litestar = Litestar(
            routes,
            middleware=[
                Options,
                *([partial(Audited, audit=audit)] if audit else []),
                guard,
                partial(RateLimit, limiter=self.limiter, live=self.live),
                partial(Bodies, live=self.live),
                partial(Idempotency, cache=cache),
            ],
            dependencies=provided(dependencies or {}),
            exception_handlers={Exception: handle},
            request_class=JsonRequest,
            response_class=JsonResponse,
            request_max_body_size=None,  # `Bodies` counts
            cors_config=_cors(settings.cors.origins),
            openapi_config=OpenAPIConfig(
                title=name,
                version=version,
                use_handler_docstrings=True,
                openapi_router=_NoRoutes("/docs", route_handlers=[]),
            ),
            logging_config=None,
            debug=False,
        )
        require_declared(self.litestar)
        hand_over(self.litestar, dependencies or {})
        if self.litestar.cors_config is None:  # which has to see errors answered; else `Observe` answers them
            self.litestar.asgi_handler = self.litestar.asgi_router
        inner = NotBuiltRoutes(self.litestar, self.litestar)
        origins = {*settings.cors.origins, *([settings.public_url] if settings.public_url else [])}
        self._sockets = WebSockets(sockets or {}, guard(self.litestar), self.limiter, self.live, frozenset(origins))
        self._handle: ASGIApp = SecurityHeaders(RequestId(Traced(Observe(inner, metrics, audit), tracing or Tracing())))

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != ScopeType.HTTP:
            return self._sockets(scope, receive, send)
        return self._handle(scope, receive, send)

    def lifespan(self) -> AbstractAsyncContextManager[None]:
        """What surrounds the application's life: the controllers' hooks."""
        return self.litestar.lifespan()

    def document(self) -> dict[str, Any]:
        """The OpenAPI document; made when it is first asked for."""
        if not self._document:
            self._document = complete(self.litestar.openapi_schema.to_schema(), self.litestar)
        return self._document

    def _pages(self) -> list[Any]:
        """The document, for programs and for people, and the page for users."""

        @get("/openapi.json", opt=OPEN, include_in_schema=False, sync_to_thread=False)
        def openapi() -> Response[bytes]:
            body = msgspec.json.encode(self.document())
            return Response(body, media_type="application/vnd.oai.openapi+json")

        @get("/docs", opt=OPEN, include_in_schema=False, sync_to_thread=False)
        def docs() -> Response[str]:
            policy = {"content-security-policy": POLICY}
            return Response(page(self.document()), media_type=MediaType.HTML, headers=policy)

        return [openapi, docs, *DASHBOARD]


class _NoRoutes(Router):
    """In the place of Litestar's own pages, which load their scripts from the internet."""

    def register(self, value: Any) -> list[Any]:
        return []


def _cors(origins: Sequence[str]) -> CORSConfig | None:
    if not origins:
        return None
    return CORSConfig(
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=[
            "Authorization",
            "Content-Type",
            "Idempotency-Key",
            "Last-Event-ID",
            "X-API-Key",
            "X-CSRF-Token",
            "X-Request-ID",
        ],
        allow_credentials="*" not in origins,
        expose_headers=_TOLD,
    )


def _metrics_route(metrics: Metrics, path: str) -> Any:
    @get(path, opt={**scope("metrics:read"), "unlimited": True}, tags=["health"], media_type="text/plain")
    async def figures() -> Response[bytes]:
        """The figures, in Prometheus's text format."""
        return Response(metrics.render(), headers={"content-type": CONTENT_TYPE})

    return figures
