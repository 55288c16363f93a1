"""A task and a subscriber of one's own, as development.yaml names them."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from runtime import Event, JobContext, subscriber, task

log = logging.getLogger("demo")


@dataclass
class Greeting:
    """Whom to greet."""

    name: str


@task("demo.greet")
async def greet(job: JobContext, payload: Greeting) -> dict[str, str]:
    """Greets somebody; the greeting is the job's result."""
    await job.progress(0.5, "thinking of a greeting")
    return {"text": f"Hello, {payload.name}!"}


@subscriber("demo.log")
async def note(event: Event) -> None:
    """Writes each event of the stream `billing` into the log."""
    log.info("%s on %s", event.type, event.stream, extra={"data": dict(event.data)})
