"""The output of logs, whose level changes in place, and traces."""

from __future__ import annotations

from runtime import __version__
from runtime.assembly.site import Made, Site
from runtime.spec.fields import live_fields
from runtime.telemetry.logs import LogLevel
from runtime.telemetry.spec import TracingSpec
from runtime.telemetry.traces import Traces


def component(site: Site, name: str) -> Made:
    """Traces, or what is always there."""
    if name == "tracing":
        return _traces(site)
    logs = site.data["observability"]["logs"]
    return Made("Logs and figures", lambda _: LogLevel(site.logs), logs, frozenset({"level"}))


def _traces(site: Site) -> Made:
    section = site.data["observability"]["tracing"]
    about = {"service.name": site.spec.name, "service.version": __version__}
    return Made("Traces (OTLP)", lambda _: Traces(section, site.tracing, about), section, live_fields(TracingSpec))
