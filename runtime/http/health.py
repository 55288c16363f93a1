"""Health: is the loop alive, is it ready to serve, and how are the services."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec
from litestar import Controller, Request, Response, get

from runtime.health import Health, Status
from runtime.http.access import ADMIN, OPEN, Caller, caller_of

Overall = Literal["operational", "degraded", "down"]

_PROBE: Final = {**OPEN, "unlimited": True}


class Checked(NamedTuple):
    """A service's health and when it was asked.

    Args:
        health: what it said.
        time: UTC.
        essential: whether nothing works without it: the environment is down when it is.
    """

    health: Health
    time: datetime
    essential: bool = False


class HealthSource(Protocol):
    """Whoever knows the services: the kernel's environment."""

    @property
    def draining(self) -> bool:
        """Whether it is about to end and takes no new work."""
        ...

    async def services(self) -> Mapping[str, Checked]:
        """Each service by name; answers within a second or two."""
        ...


class Alive(msgspec.Struct):
    """The loop turns."""

    status: Literal["alive"] = "alive"


class Readiness(msgspec.Struct):
    """Whether requests can be served.

    Args:
        waiting_for: the essential services that are down.
        degraded: the services that are not well; the others serve.
    """

    status: Literal["ready", "not ready", "draining"]
    waiting_for: list[str] = []
    degraded: list[str] = []


class ServiceState(msgspec.Struct):
    """A service as a caller sees it; `details` and `reason` only for one with `runtime:admin`."""

    healthy: bool
    status: Status
    last_checked: datetime
    reason: str | None = None
    details: dict[str, Any] | None = None


class HealthReport(msgspec.Struct):
    """The whole environment's health."""

    status: Overall
    version: str
    services: dict[str, ServiceState]
    timestamp: datetime


def overall(services: Mapping[str, Checked]) -> Overall:
    """The environment's state from its services': what is not built counts for nothing."""
    states = {checked.health.status for checked in services.values()}
    if any(checked.essential and checked.health.status == "down" for checked in services.values()):
        return "down"
    return "degraded" if states & {"down", "degraded"} else "operational"


def health_controller(source: HealthSource, version: str) -> type[Controller]:
    """The routes of health; they answer without a key and are never limited."""

    class HealthController(Controller):
        tags = ["health"]
        opt = _PROBE

        @get("/livez", summary="Whether the process is alive", sync_to_thread=False)
        def livez(self) -> Alive:
            return Alive()

        @get("/readyz", summary="Whether requests can be served")
        async def readyz(self) -> Response[Readiness]:
            if source.draining:
                return Response(Readiness("draining"), status_code=503)
            services = await source.services()
            down = sorted(
                name for name, checked in services.items() if checked.essential and checked.health.status == "down"
            )
            ill = sorted(name for name, checked in services.items() if checked.health.status in ("down", "degraded"))
            ready = Readiness("not ready" if down else "ready", down, [name for name in ill if name not in down])
            return Response(ready, status_code=503 if down else 200)

        @get("/healthz", summary="How the services are")
        async def healthz(self, request: Request[Caller, Any, Any]) -> Response[HealthReport]:
            services = await source.services()
            full = caller_of(request.scope).may(ADMIN)
            report = HealthReport(
                overall(services),
                version,
                {name: _state(checked, full) for name, checked in services.items()},
                datetime.now(UTC),
            )
            return Response(report, status_code=503 if report.status == "down" else 200)

    return HealthController


def _state(checked: Checked, full: bool) -> ServiceState:
    health = checked.health
    return ServiceState(
        healthy=health.healthy,
        status=health.status,
        last_checked=checked.time.astimezone(UTC),
        reason=(health.reason or None) if full else None,
        details=dict(health.details) if full else None,
    )
