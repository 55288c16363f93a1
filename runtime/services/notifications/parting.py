"""Jobs that carry several messages, where the rate of their queue counts messages."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from runtime.errors import Conflict, NotFound
from runtime.services.jobs.ports import Draft

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.services.jobs.ports import JobContext


async def admitted(job: JobContext, messages: int) -> int:
    """How many of a job's messages may go out now: one, for which the job itself has been let in, and as many more as
    the rate of its queue allows.

    What the queue says now counts, whatever it said when the job was put in.
    """
    return 1 + await job.jobs.admit(job.queue, messages - 1) if messages > 1 else messages


async def pass_on(job: JobContext, payload: Mapping[str, Any], *, once: str | None = None) -> None:
    """Puts what a job may not send now into another one, which waits as the rate will have it.

    Args:
        once: names that job, so that there is one over all tries of this one.
    """
    try:
        group = (await job.jobs.get(job.id)).group
    except NotFound:  # its record is gone, as where the queue was emptied
        group = None
    with suppress(Conflict):
        await job.jobs.submit(job.queue, Draft(payload, once=once, group=group, owner=job.owner, by=job.by))
