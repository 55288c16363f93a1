"""What traces tell of jobs, in the words of OpenTelemetry's conventions for messaging, version 1.42."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runtime.telemetry.tracing import NEW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.jobs.backend import NewJob
    from runtime.services.jobs.claiming import Claimed, Outcome
    from runtime.telemetry.tracing import Span, Tracer, Value

SYSTEM: Final = "runtime"


def sent(tracer: Tracer, queue: str, jobs: Sequence[NewJob]) -> Span:
    """Jobs are put into a queue."""
    about: dict[str, Value] = _about("send", queue)
    if len(jobs) == 1:
        about["messaging.message.id"] = jobs[0].id
    else:
        about["messaging.batch.message_count"] = len(jobs)
    return tracer.begin(f"send {queue}", "producer", about)


def processed(tracer: Tracer, claimed: Claimed) -> Span:
    """A try of a job; it belongs to the trace in which the job was put in."""
    about: dict[str, Value] = _about("process", claimed.queue)
    about["messaging.message.id"] = claimed.id
    about["runtime.job.attempt"] = claimed.attempt
    return tracer.begin(f"process {claimed.queue}", "consumer", about, parent=claimed.trace or NEW)


def ended(span: Span, outcome: Outcome | None) -> None:
    """A try has ended; without an outcome it was broken off."""
    if outcome is None:
        span.end("cancelled")
        return
    if outcome.error:
        span.set("runtime.job.error", outcome.error)
    span.end(outcome.status if outcome.status in ("failed", "retry") else "")


def _about(operation: str, queue: str) -> dict[str, Value]:
    return {
        "messaging.system": SYSTEM,
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.destination.name": queue,
    }
