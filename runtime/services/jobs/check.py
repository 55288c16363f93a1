"""What a job is refused for, told before it is stored: for those who store it later."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.services.jobs.ports import Draft
    from runtime.services.jobs.service import JobQueues


def check(queues: JobQueues, queue: str, draft: Draft) -> None:
    """Refuses what `JobQueues.enqueue` would refuse, but for a name that another job has; stores nothing.

    Raises:
        NotFound, NotBuilt, Invalid, TooLarge: as `Jobs.enqueue`.
    """
    spec = queues.settings(queue)
    queues.mark(queue)
    queues._job(queue, spec, draft)  # noqa: SLF001 - of this service
