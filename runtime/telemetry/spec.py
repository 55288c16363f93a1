"""The `observability` section: logs, metrics, traces, errors and the audit trail."""

from __future__ import annotations

from typing import Annotated, Literal

from runtime.spec.fields import Items, Live, Section, section, setting
from runtime.spec.kinds import Duration, Form, Fraction, Secret, Switch, Text, Url

RoutePath = Annotated[
    str,
    Form(
        "RoutePath",
        "The path of a route.",
        pattern=r"^/[A-Za-z0-9._~/-]*$",
        refusal='not the path of a route: begin with a slash, such as "/metrics"',
        examples=["/metrics"],
    ),
]


class LogsSpec(Section):
    """What is logged, and how it looks."""

    format: Literal["console", "json"] = setting("console", "Lines for people or for machines.", example="json")
    level: Live[Literal["debug", "info", "warning", "error"]] = setting(
        "info", "The least severe messages to log.", example="debug"
    )


class MetricsSpec(Section):
    """Figures for Prometheus."""

    path: RoutePath = setting("/metrics", "Where the API serves them.", example="/internal/metrics")


class TracingSpec(Section):
    """Traces by OpenTelemetry."""

    exporter: Literal["none", "otlp"] = setting("none", "Where traces go.", example="otlp")
    endpoint: Live[Url | None] = setting(
        None,
        "The collector's address; by default what `OTEL_EXPORTER_OTLP_ENDPOINT` says, else `http://localhost:4318`.",
        example="http://otel-collector:4318",
    )
    headers: Live[dict[Text, Secret]] = setting(
        {}, "The headers of each sending.", example={"Authorization": "Bearer ${OTLP_TOKEN}"}
    )
    sample: Live[Fraction] = setting(
        1.0,
        "The share of traces to take, from 0 to 1; one that a caller began is taken where its `traceparent` says so.",
        example=0.1,
    )


class ErrorsSpec(Section):
    """Where unexpected errors are reported."""

    dsn: Secret | None = setting(
        None,
        "The address of a Sentry-compatible service; without it nothing is sent.",
        example="${SENTRY_DSN}",
    )


class AuditSpec(Section):
    """How the audit trail is kept."""

    keep: Duration | None = setting(
        None,
        "How long entries are kept; for ever, where nothing is said. They go from the old end only.",
        example="400d",
    )
    key: Secret | None = setting(
        None,
        "A key of at least 32 characters, kept outside the database: nobody without it can make up entries that fit.",
        example="${vault:shared-secrets#audit_key}",
    )
    previous_keys: Items[Secret] = setting(
        (), "Keys of older entries, as long as such entries are kept.", example=["${vault:shared-secrets#audit_key_1}"]
    )


class ObservabilitySpec(Section):
    """How the environment is watched."""

    logs: LogsSpec = section("What is logged, and how it looks.")
    metrics: MetricsSpec = section("Figures for Prometheus.")
    tracing: TracingSpec = section("Traces by OpenTelemetry.")
    errors: ErrorsSpec = section("Where unexpected errors are reported.")
    audit: Switch | AuditSpec = setting(
        True,
        "Whether acts that matter for security are kept in an audit trail, and for how long.",
        example={"keep": "400d"},
    )
