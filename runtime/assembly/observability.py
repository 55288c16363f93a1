"""The output of logs, whose level changes in place."""

from __future__ import annotations

from runtime.assembly.site import Made, Site
from runtime.telemetry.logs import LogLevel


def component(site: Site, _: str) -> Made:
    """It has no parts."""
    logs = site.data["observability"]["logs"]
    return Made("Logs and figures", lambda _: LogLevel(site.logs), logs, frozenset({"level"}))
