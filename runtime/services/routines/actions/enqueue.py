"""`jobs.enqueue`: a job in another queue, stored once for each run, whose result may be waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runtime.services.jobs.ports import ENDED, Draft
from runtime.services.routines.step import StepFailed
from runtime.services.routines.templates import templated

if TYPE_CHECKING:
    from runtime.services.jobs.ports import JobView
    from runtime.services.routines.spec import EnqueueStep
    from runtime.services.routines.step import Scope
    from runtime.services.routines.templates import Compile

REMEMBERED: Final = 24 * 3600.0
"""Seconds for which another try of the step finds the job that an earlier one has stored."""


class Enqueue:
    """Puts a job into a queue."""

    def __init__(self, spec: EnqueueStep, compiled: Compile) -> None:
        self._queue = spec.queue
        self._payload = templated(spec.payload, compiled)
        self._wait = spec.wait

    async def __call__(self, scope: Scope) -> Any:
        jobs = scope.job.jobs
        draft = Draft(
            self._payload(scope.variables),
            key=scope.operation,
            on_duplicate="throttle",
            window=REMEMBERED,
            owner=scope.job.owner,
            by=scope.job.by,
        )
        stored = await jobs.submit(self._queue, draft)
        if not self._wait:
            return {"id": stored.id}
        if stored.duplicate and (await jobs.get(stored.id)).status == "failed":
            await jobs.retry(stored.id)
        async for view in jobs.follow(stored.id):
            if view.status in ENDED:
                return _result(view)
        raise StepFailed(f"the job {stored.id} is no longer kept")


def _result(view: JobView) -> Any:
    if view.status == "completed":
        return view.result
    raise StepFailed(f"the job {view.id} {view.status}: {view.error}" if view.error else f"{view.id} {view.status}")
