"""The work of this environment: tasks run jobs, subscribers receive events."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from runtime import Event, JobContext, subscriber, task

log = logging.getLogger(__name__)


@dataclass
class Greeting:
    """What a job of the queue `greetings` carries; a payload of another shape is refused when it is posted."""

    name: str


@task("greet")
async def greet(job: JobContext, payload: Greeting) -> dict[str, str]:
    text = f"Hello, {payload.name}!"
    await job.publish("greetings", "greeted", {"text": text})
    return {"text": text}


@subscriber("greetings.log")
async def log_greeting(event: Event) -> None:
    log.info("%s", event.data["text"])
