"""The output of logs, whose level changes in place, traces and the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime import __version__
from runtime.assembly.site import Made, Site
from runtime.spec.fields import live_fields
from runtime.telemetry.logs import LogLevel
from runtime.telemetry.spec import AuditSpec, TracingSpec
from runtime.telemetry.traces import Traces

if TYPE_CHECKING:
    from runtime.kernel.component import Ports, Service


def component(site: Site, name: str) -> Made:
    """Traces, the audit trail, or what is always there."""
    if name == "tracing":
        return _traces(site)
    if name == "audit":
        return _audit(site)
    logs = site.data["observability"]["logs"]
    return Made("Logs and figures", lambda _: LogLevel(site.logs), logs, frozenset({"level"}))


def _traces(site: Site) -> Made:
    section = site.data["observability"]["tracing"]
    about = {"service.name": site.spec.name, "service.version": __version__}
    return Made("Traces (OTLP)", lambda _: Traces(section, site.tracing, about), section, live_fields(TracingSpec))


def _audit(site: Site) -> Made:
    section, found = site.data["observability"]["audit"], site.spec.observability.audit
    fields = section if isinstance(section, dict) else {}
    spec = found if isinstance(found, AuditSpec) else AuditSpec()

    def make(ports: Ports) -> Service:
        from runtime.services.audit.chain import Seal
        from runtime.services.audit.service import AuditTrail
        from runtime.services.audit.spool import Spool

        return AuditTrail(
            ports["storage.database"],
            Spool(ports["storage.redis"].client, site.prefix),
            Seal(
                spec.key.get_secret_value() if spec.key else None,
                [key.get_secret_value() for key in spec.previous_keys],
            ),
            keep=spec.keep,
            known=site.logs.redactor.text,
        )

    return Made("Audit trail", make, {"name": site.spec.name, **fields})
