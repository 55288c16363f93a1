"""Traces to a collector, by OpenTelemetry's own library: OTLP as protobuf over HTTP, from a thread of its own.

Whoever works never waits for the collector: ended spans stand in a queue of bounded length, and what does not fit is
dropped.
"""

from __future__ import annotations

import logging
import random
import threading
from typing import TYPE_CHECKING, Final

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from runtime.telemetry.context import traceparent as current

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from runtime.telemetry.spec import TracingSpec
    from runtime.telemetry.tracing import Kind, Span, Value

logger = logging.getLogger("runtime.tracing")

FLUSH: Final = 2.0
"""Seconds for which the last spans are waited for at the end."""
PATH: Final = "/v1/traces"
INTERVAL: Final = 1.0
"""Seconds between two sendings."""
PATIENCE: Final = 5.0
"""Seconds that a sending may take, its repetitions included."""

_KINDS: Final = {
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
    "producer": trace.SpanKind.PRODUCER,
    "consumer": trace.SpanKind.CONSUMER,
    "internal": trace.SpanKind.INTERNAL,
}
_wire = TraceContextTextMapPropagator()
_nothing = contexts.Context()
_random = random.Random()  # noqa: S311 - ids are no secrets


class Otlp:
    """Makes spans and sends them; implements `Tracer`.

    Making one starts its thread. `close` waits, so call it from a thread.

    Args:
        spec: the `observability.tracing` section.
        about: attributes of the process: `service.name` and so on.
    """

    def __init__(self, spec: TracingSpec, about: Mapping[str, str]) -> None:
        self._share = spec.sample
        self._collector = _Collector(spec)
        self._queue = BatchSpanProcessor(self._collector, schedule_delay_millis=INTERVAL * 1000)
        self._provider = TracerProvider(
            sampler=ParentBased(ALWAYS_ON), resource=Resource.create(dict(about)), shutdown_on_exit=False
        )
        self._provider.add_span_processor(self._queue)
        self._tracer = self._provider.get_tracer("runtime", about.get("service.version"))
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(self._provider)  # so that the spans of users' own code join ours

    @property
    def away(self) -> str:
        """Why the collector does not take spans; empty while it does."""
        return self._collector.away

    def begin(
        self, name: str, kind: Kind, attributes: Mapping[str, Value], *, parent: str | None = None, state: str = ""
    ) -> Span:
        if parent is None:
            if (around_us := current.get()) is not None and _is_left_out(around_us):
                return _LeftOut(around_us)
            around = contexts.get_current()
        elif parent:
            around = _wire.extract({"traceparent": parent, "tracestate": state}, context=_nothing)
        else:
            around = _nothing
        above = trace.get_current_span(around).get_span_context()
        if above.trace_flags.sampled if above.is_valid else _random.random() < self._share:
            return _Span(self._tracer.start_span(name, around, _KINDS[kind], attributes))
        # Spans of users' own code see by it that they are not taken either.
        trace_id = above.trace_id or _random.getrandbits(128)
        return _Span(trace.NonRecordingSpan(trace.SpanContext(trace_id, _random.getrandbits(64), is_remote=False)))

    def update(self, spec: TracingSpec) -> None:
        """Takes a changed section."""
        self._share = spec.sample
        self._collector.update(spec)

    def close(self) -> None:
        """Sends what is left, for at most `FLUSH` seconds."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(FLUSH)
        self._collector.shutdown()  # gives up a request that is being tried again


class _Span:
    __slots__ = ("_around", "_before", "_span", "recorded", "traceparent")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        known = span.get_span_context()
        self.recorded = span.is_recording()
        self.traceparent = f"00-{known.trace_id:032x}-{known.span_id:016x}-{known.trace_flags:02x}"
        self._around = contexts.get_current()
        self._before = current.get()
        # What was current is set again rather than reset: a stream may end in another context than it began in.
        contexts.attach(trace.set_span_in_context(span, self._around))
        current.set(self.traceparent)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def set(self, name: str, value: Value) -> None:
        self._span.set_attribute(name, value)

    def end(self, error: str = "") -> None:
        if error:
            self._span.set_attribute("error.type", error)
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()
        self.discard()

    def discard(self) -> None:
        contexts.attach(self._around)
        current.set(self._before)


class _LeftOut:
    """A span within a trace that is not taken."""

    __slots__ = ("traceparent",)
    recorded = False

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent

    def rename(self, name: str) -> None:
        pass

    def set(self, name: str, value: Value) -> None:
        pass

    def end(self, error: str = "") -> None:
        pass

    def discard(self) -> None:
        pass


def _is_left_out(traceparent: str) -> bool:
    return not int(traceparent[-2:], 16) & 1


class _Collector(SpanExporter):
    """The collector at its address; says once that it is away, and once that it is there again."""

    def __init__(self, spec: TracingSpec) -> None:
        self.away = ""
        self._ended = False
        self.update(spec)

    def update(self, spec: TracingSpec) -> None:
        address = spec.endpoint.rstrip("/") if spec.endpoint else None
        if address is not None and not address.endswith(PATH):
            address += PATH
        headers = {name: secret.get_secret_value() for name, secret in spec.headers.items()}
        self._exporter = OTLPSpanExporter(address, headers=headers or None, timeout=PATIENCE)
        self._address = address or "the address in OTEL_EXPORTER_OTLP_ENDPOINT"

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if self._ended:
            return result
        if result is not SpanExportResult.SUCCESS and not self.away:
            self.away = f"{self._address} does not take traces"
            logger.warning("%s: they are dropped until it does", self.away)
        elif result is SpanExportResult.SUCCESS and self.away:
            self.away = ""
            logger.info("%s takes traces again", self._address)
        return result

    def shutdown(self) -> None:
        if not self._ended:
            self._ended = True
            self._exporter.shutdown()  # type: ignore[no-untyped-call]
