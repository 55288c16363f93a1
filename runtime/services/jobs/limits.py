"""How a queue treats its jobs, from its section of the spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.services.jobs.backend import Limits

if TYPE_CHECKING:
    from runtime.services.jobs.spec import QueueSpec


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
