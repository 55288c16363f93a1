"""The routines that the `run` queue executes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from runtime.assembly.site import Made, Site
from runtime.outline import RUNNING
from runtime.services.routines.service import RoutineService

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def component(site: Site, _: str) -> Made:
    """It has no parts."""
    specs, queue = site.spec.routines, site.queue_of(RUNNING)
    assert specs is not None  # noqa: S101 - the outline has seen it
    marks = frozenset(site.spec.queues[queue].priority_by) if queue is not None else frozenset()
    steps = (step for routine in specs.values() for step in routine.steps.values())
    files = (file for step in steps if (file := getattr(step, "code_file", None)) is not None)
    fields: dict[str, Any] = {"routines": site.data["routines"], "code": _digests(files)}
    made = {**fields, "queue": queue, "marks": sorted(marks)}
    return Made("Routines", lambda _: RoutineService(specs, queue, marks), made, frozenset(fields))


def _digests(files: Iterable[Path]) -> dict[str, str]:
    """What tells that a file has changed; one that cannot be read is told of when it is."""
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()}
