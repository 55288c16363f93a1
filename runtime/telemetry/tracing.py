"""Traces: what was done for one request, here and in other processes, as a tree of spans.

Nothing here loads OpenTelemetry, and while nobody takes traces, nothing is done but to look whether somebody does.
`runtime.telemetry.otlp` is who does.

Source: W3C Trace Context (`traceparent`); opentelemetry.io/docs/specs/semconv, version 1.42, for names and attributes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

Kind = Literal["server", "client", "producer", "consumer", "internal"]
Value = str | bool | int | float | Sequence[str]

NEW = ""
"""The parent of a span that begins a trace."""


class Span(Protocol):
    """A piece of work that is traced, and current in this context until it ends."""

    traceparent: str
    """How it is named to whoever works for it."""
    recorded: bool
    """Whether anybody will see it; where not, its attributes need not be found out."""

    def rename(self, name: str) -> None: ...

    def set(self, name: str, value: Value) -> None:
        """Says something of it."""
        ...

    def end(self, error: str = "") -> None:
        """It is over; the span around it is current again.

        Args:
            error: the class of the error that it ended with; empty for none.
        """
        ...

    def discard(self) -> None:
        """There was nothing to trace."""
        ...


class Tracer(Protocol):
    """Whoever takes traces."""

    def begin(
        self, name: str, kind: Kind, attributes: Mapping[str, Value], *, parent: str | None = None, state: str = ""
    ) -> Span:
        """Begins a span and makes it current.

        Args:
            parent: a `traceparent` from elsewhere; None for the span that is current; `NEW` for none.
            state: the `tracestate` that came with it.
        """
        ...


class Tracing:
    """The traces of an environment.

    Attributes:
        tracer: takes them; None while nobody does.

    Example:
        >>> tracing = Tracing()
        >>> tracing.tracer is None
        True
    """

    def __init__(self) -> None:
        self.tracer: Tracer | None = None
