"""One run of a routine: its steps in order, each kept before the next begins, so that none that has ended runs again.

What is kept is keyed by the names of the steps: a run that goes on after the spec has changed takes the steps as they
are then, and passes over those that it has.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Fault, TooMany, Unreachable
from runtime.services.jobs.ports import Reject, Retry
from runtime.services.retry import pause
from runtime.services.routines.step import Scope, Step, StepFailed
from runtime.services.routines.templates import NotFilled, holds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.services.jobs.ports import JobContext
    from runtime.services.routines.routine import Routine

PASSING: Final = frozenset({429, 502, 503, 504})
"""Statuses of faults that may go by themselves."""


class Run:
    """A run within a try of its job.

    Args:
        routine: what is run.
        given: its input, checked.
        job: what an earlier try has kept is in `saved`.
    """

    def __init__(self, routine: Routine, given: Mapping[str, Any], job: JobContext) -> None:
        self._routine = routine
        self._job = job
        self._ended: dict[str, dict[str, Any]] = dict((job.saved or {}).get("steps", {}))
        run = {"id": job.id, "routine": routine.name, "started_by": job.by.account if job.by else job.owner}
        self._variables = {"input": given, "run": run, "steps": self._ended}

    async def result(self) -> dict[str, Any]:
        """Runs what is left of it; returns its output, and how each step has ended.

        Raises:
            Reject: a step has failed, and no further try would help.
            Retry: a step has failed for a reason that may go by itself.
        """
        steps = self._routine.steps
        for place, step in enumerate(steps):
            if step.name in self._ended:
                continue
            await self._job.progress(place / len(steps), step.name)
            self._ended[step.name] = ended = await self._outcome(step)
            if ended["status"] != "skipped":
                await self._keep(step)
        shown = ("status", "duration_ms", "attempts", "error")
        return {
            "output": self._output(),
            "steps": {
                step.name: {word: self._ended[step.name][word] for word in shown if word in self._ended[step.name]}
                for step in steps
            },
        }

    async def _outcome(self, step: Step) -> dict[str, Any]:
        """What a step came to."""
        begun = time.monotonic()
        tried = 0
        try:
            if step.condition is not None and not holds(_filled(step, self._variables)):
                return {"status": "skipped", "output": None, "attempts": 0, "duration_ms": 0.0}
            while True:
                tried += 1
                try:
                    output = await self._try(step)
                    break
                except StepFailed as failed:
                    if tried >= step.retry.attempts or failed.after > step.retry.max:
                        raise
                    await asyncio.sleep(max(failed.after, pause(tried, step.retry)))
        except StepFailed as failed:
            if step.goes_on:
                return {"status": "failed", "output": None, "error": str(failed), **_figures(begun, tried)}
            said = f'the step "{step.name}" failed: {failed}'
            raise (Retry(said, after=failed.after) if failed.passing else Reject(said)) from failed
        return {"status": "completed", "output": output, **_figures(begun, tried)}

    async def _try(self, step: Step) -> Any:
        """One try of a step.

        Raises:
            StepFailed: whatever a service, an expression or the time limit says.
        """
        scope = Scope(self._job, self._variables, f"{self._job.id}.{step.name}")
        limit = asyncio.timeout(step.timeout)
        try:
            async with limit:
                return await step.action(scope)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise StepFailed(f"it took longer than {step.timeout:g} s") from error
        except NotFilled as error:
            raise StepFailed(str(error)) from error
        except Fault as error:
            passing = isinstance(error, Unreachable) or error.status in PASSING
            after = error.retry_after if isinstance(error, TooMany) else 0.0
            raise StepFailed(error.message, passing=passing, after=after) from error

    async def _keep(self, step: Step) -> None:
        """Stores how all steps so far have ended.

        Raises:
            Reject: it is more than a job may keep.
        """
        try:
            await self._job.save({"steps": self._ended})
        except Unreachable:
            raise
        except Fault as error:
            raise Reject(f'what the steps up to "{step.name}" gave cannot be kept: {error.message}') from error

    def _output(self) -> Any:
        if self._routine.output is None:
            return None
        try:
            return self._routine.output(self._variables)
        except NotFilled as error:
            raise Reject(f"its output cannot be filled in: {error}") from error


def _filled(step: Step, variables: Mapping[str, Any]) -> Any:
    assert step.condition is not None  # noqa: S101 - the caller has seen it
    try:
        return step.condition(variables)
    except NotFilled as error:
        raise StepFailed(str(error)) from error


def _figures(begun: float, tried: int) -> dict[str, Any]:
    return {"attempts": tried, "duration_ms": round((time.monotonic() - begun) * 1000, 1)}
