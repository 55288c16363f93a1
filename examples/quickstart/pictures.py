"""A job publishes an event, the event's subscriber writes it down: the two ways in which work reaches your code."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from runtime import Event, JobContext, Reject, event_type, subscriber, task

log = logging.getLogger(__name__)


@dataclass
class Resize:
    """The payload of the queue `pictures`; a job of another shape is refused when it is posted."""

    picture: str
    width: int
    owner: str


@event_type("picture.resized")
@dataclass
class Resized:
    """What the event says; one that does not fit is refused when it is published."""

    picture: str
    width: int
    owner: str


@task("pictures.resize")
async def resize(job: JobContext, payload: Resize) -> dict[str, Any]:
    """Pretends to resize a picture: what matters is around it."""
    if payload.width <= 0:
        raise Reject("a picture has a positive width")  # never tried again
    await job.progress(0.5, "halfway")
    result = {"picture": payload.picture, "width": payload.width}
    await job.publish("pictures", "picture.resized", {**result, "owner": payload.owner})
    await job.enqueue(
        "email",
        {
            "to": [payload.owner],
            "subject": f"{payload.picture} is ready",
            "text": f"It is {payload.width} pixels wide now.",
        },
    )
    return result


@subscriber("pictures.tell_owner")
async def tell_owner(event: Event) -> None:
    """Called once for each event of the stream; again if it raises."""
    log.info("%s is %s pixels wide", event.data["picture"], event.data["width"])
