"""What the queue of runs executes: the built-in task `routines.run`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.services.jobs.ports import JobContext
from runtime.services.routines.routine import Routine
from runtime.services.routines.run import Run


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a job asks for, checked.

    Args:
        input: with its defaults.
    """

    routine: Routine
    input: Mapping[str, Any]


async def run(job: JobContext, payload: RunRequest) -> dict[str, Any]:
    """The task `routines.run`; its result is the output, and how each step has ended."""
    return await Run(payload.routine, payload.input, job).result()
