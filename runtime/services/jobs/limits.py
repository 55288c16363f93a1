"""How a queue treats its jobs, and how that follows from its section of the spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.services.jobs.spec import QueueSpec


@dataclass(frozen=True, slots=True)
class Limits:
    """How a queue treats its jobs.

    Args:
        stalls: how often a job may be lost with a dying worker before it counts as the killer.
        lease: seconds after which a silent worker counts as dead.
        result_ttl: seconds for which a completed job is kept.
        dead_ttl: seconds for which a failed one is.
        keep: completed jobs kept at most.
        attempts: tries in all, of a job that was given no number of its own.
        priority: of a job that was given none.
        most: jobs that may run at once over all workers.
        rate: how many may begin in so many seconds, over all workers.
        group_slots: jobs of one group that may run at once, over all workers.
        group_rate: how many of one group may begin in so many seconds, over all workers.
    """

    stalls: int
    lease: float
    result_ttl: float
    dead_ttl: float
    keep: int
    attempts: int = 1
    priority: int = 0
    most: int | None = None
    rate: tuple[int, float] | None = None
    group_slots: int | None = None
    group_rate: tuple[int, float] | None = None


def limits(spec: QueueSpec) -> Limits:
    """What the place where jobs are kept is told of a queue."""
    wanted = spec.concurrency
    return Limits(
        attempts=spec.retry.attempts,
        stalls=spec.max_stalled,
        lease=spec.lease,
        result_ttl=spec.result_ttl,
        dead_ttl=spec.dead_letter.ttl,
        keep=spec.keep,
        priority=spec.priority,
        most=None if isinstance(wanted, int) else wanted.max,
        rate=spec.rate,
        group_slots=spec.groups.concurrency,
        group_rate=spec.groups.rate,
    )


def slots(spec: QueueSpec) -> int:
    """How many jobs a worker of a queue runs at once when it starts."""
    wanted = spec.concurrency
    return wanted if isinstance(wanted, int) else wanted.min


def most_slots(spec: QueueSpec) -> int:
    """How many it runs at once at the most; where the spec gives bounds, all workers together."""
    wanted = spec.concurrency
    return wanted if isinstance(wanted, int) else wanted.max


def rate(spec: QueueSpec) -> str | None:
    """How many may begin in a unit of time, over all workers, as the spec would write it."""
    if spec.rate is None:
        return None
    unit = {1.0: "s", 60.0: "m", 3600.0: "h", 86400.0: "d"}
    return f"{spec.rate.count}/{unit.get(spec.rate.seconds, f'{spec.rate.seconds:g}s')}"
