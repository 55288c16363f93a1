"""The health of a queue, from its figures and the thresholds of its section.

Example:
    >>> from runtime.services.jobs.spec import QueueHealthSpec
    >>> health = queue_health(QueueHealthSpec(), failed=3, waiting=0)
    >>> health.status, health.reason
    ('degraded', '3 jobs have failed for good (more than 0)')
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.health import Health

if TYPE_CHECKING:
    from runtime.health import Status
    from runtime.services.jobs.spec import QueueHealthSpec, QueueLimits


def queue_health(spec: QueueHealthSpec, *, failed: int, waiting: int) -> Health:
    """Whether a queue is `operational`, `degraded` or `down`, and why.

    Args:
        spec: `health` of its section.
        failed: jobs that have failed for good and are still kept: a replay or their end heals the queue.
        waiting: jobs that may run now and do not.
    """
    levels: tuple[tuple[Status, QueueLimits], ...] = (("down", spec.down), ("degraded", spec.degraded))
    for status, limits in levels:
        reasons = []
        if failed > limits.failed:
            reasons.append(f"{_jobs(failed)} failed for good (more than {limits.failed:,})")
        if waiting > limits.waiting:
            reasons.append(f"{waiting:,} {'job waits' if waiting == 1 else 'jobs wait'} (more than {limits.waiting:,})")
        if reasons:
            return Health(status, " and ".join(reasons))
    return Health()


def _jobs(count: int) -> str:
    return f"{count:,} job has" if count == 1 else f"{count:,} jobs have"
