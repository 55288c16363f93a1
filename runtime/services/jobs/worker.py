"""The worker of a queue: claims its jobs, calls the task and decides what a try came to."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Fault, Invalid
from runtime.health import Health
from runtime.services.function import TimedOut, call
from runtime.services.jobs.backend import Claimed, Claimer, Outcome
from runtime.services.jobs.context import RunningJob
from runtime.services.jobs.payload import plain
from runtime.services.jobs.ports import Reject, Retry
from runtime.services.jobs.service import AT_MOST, JobQueues, limits, slots
from runtime.services.jobs.times import LONGEST_DELAY
from runtime.services.names import seconds
from runtime.services.retry import pause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime.services.events.ports import Events
    from runtime.services.jobs.spec import QueueSpec
    from runtime.services.sandbox.ports import Sandbox

logger = logging.getLogger("runtime.jobs")

LARGEST_RESULT: Final = 1_000_000
LONGEST_ERROR: Final = 2_000


class QueueWorker:
    """Runs the jobs of one queue in this process.

    Args:
        queue: the queue's name.
        spec: its section of the spec.
        jobs: the queues; also where further jobs go.
        events: where the events of its tasks go; None where the spec has no event bus.
        mask: hides secrets in what a task's exception says, before a job's record keeps it.
        sandbox: where its tasks run untrusted code; None where the spec has no sandbox.

    Raises at `start`:
        NotBuilt: this version does not have the queue's task, or cannot run it in a process of its own.
    """

    def __init__(
        self,
        queue: str,
        spec: QueueSpec,
        jobs: JobQueues,
        events: Events | None = None,
        *,
        mask: Callable[[str], str] = str,
        sandbox: Sandbox | None = None,
    ) -> None:
        self._sandbox = sandbox
        self._queue = queue
        self._spec = spec
        self._jobs = jobs
        self._events = events
        self._mask = mask
        self._claimer: Claimer | None = None
        self._function: Callable[..., Any] | None = None

    async def start(self) -> None:
        self._function = self._jobs.mark(self._queue).function
        backend = self._jobs.backend
        self._claimer = backend.claimer(self._queue, limits(self._spec), slots(self._spec), self.run)
        await self._claimer.begin()

    async def watch(self) -> None:
        if self._claimer is not None:
            await self._claimer.watch()

    async def stop(self) -> None:
        claimer, self._claimer = self._claimer, None
        if claimer is not None:
            await claimer.end(self._spec.drain)

    async def update(self, fields: Mapping[str, Any]) -> None:
        changed = type(self._spec).model_validate({"handler": self._spec.handler, **fields})
        self._spec = self._spec.model_copy(update={name: getattr(changed, name) for name in fields})
        self._jobs.adopt(self._queue, self._spec)
        if self._claimer is not None:
            self._claimer.resize(slots(self._spec))

    async def health(self) -> Health:
        if self._claimer is None:
            return Health("down", "it does not run")
        activity = self._claimer.activity
        details: dict[str, Any] = {
            "concurrency": slots(self._spec),
            "running": activity.running,
            **activity.counts,
            "taken_over": activity.returned,
        }
        if missing := self._missing():
            details["not built"] = missing
        if activity.away is not None:
            return Health("degraded", f"Redis does not answer: {activity.away}", details)
        return Health(details=details)

    def _missing(self) -> list[str]:
        """What the spec asks of this queue and this version does not do."""
        missing = []
        if not isinstance(self._spec.concurrency, int):
            missing.append(f"concurrency that follows the backlog: at most {AT_MOST}, it is {slots(self._spec)}")
        if self._spec.rate is not None:
            missing.append("rate")
        if self._spec.long_running is not None:
            missing.append("long_running")
        if self._spec.priority or self._spec.priority_by:
            missing.append("priority")
        return missing

    async def run(self, claimed: Claimed) -> Outcome:
        """Makes one try of a job; raises nothing but its own cancellation."""
        about = {"job": claimed.id, "queue": claimed.queue, "attempt": claimed.attempt}
        try:
            payload = self._jobs.parse(self._queue, claimed.payload)
        except Invalid as error:  # it was accepted, so the task has changed since then: no try can succeed
            logger.error("%s: its task does not take its payload any more: %s", claimed.id, error, extra=about)
            return Outcome("failed", error=_sentence(error))
        job = RunningJob(claimed, self._jobs, self._events, self._sandbox)
        returned = await call(self._function or _absent, job, payload, limit=self._spec.timeout)
        if returned.error is not None:
            return self._failed(claimed, returned.error, about)
        try:
            return Outcome("completed", result=_kept(returned.value))
        except (TypeError, ValueError, RecursionError) as error:
            logger.exception("%s: its result cannot be kept", claimed.id, extra=about)
            return Outcome("failed", error=f"its result cannot be kept: {error}"[:LONGEST_ERROR])

    def _failed(self, claimed: Claimed, error: BaseException, about: Mapping[str, Any]) -> Outcome:
        sentence = self._mask(_sentence(error))
        if isinstance(error, Reject):
            logger.warning("%s was rejected by its task: %s", claimed.id, sentence, extra=about)
            return Outcome("failed", error=sentence)
        trace = None if isinstance(error, Fault | Retry | TimedOut) else error
        if claimed.attempt >= claimed.attempts:
            tries = claimed.attempt
            logger.error("%s failed for good at try %d: %s", claimed.id, tries, sentence, exc_info=trace, extra=about)
            return Outcome("failed", error=sentence)
        delay = pause(claimed.attempt, self._spec.retry)
        if isinstance(error, Retry) and error.after:
            delay = _wanted(error.after)
        logger.warning(
            "%s failed, try %d of %d, the next one in %.1f s: %s",
            claimed.id,
            claimed.attempt,
            claimed.attempts,
            delay,
            sentence,
            exc_info=trace,
            extra=about,
        )
        return Outcome("retry", error=sentence, delay=delay)


def _wanted(after: str | float) -> float:
    delay = seconds(after) if isinstance(after, str) else float(after)
    if delay is None or not 0 <= delay <= LONGEST_DELAY:
        logger.error('Retry(after=%r) is no duration to wait: write it as "30s"', after)
        return 0.0
    return delay


def _kept(value: Any) -> Any:
    result = plain(value)
    size = len(json.dumps(result, allow_nan=False))
    if size > LARGEST_RESULT:
        raise ValueError(f"it has {size:,} bytes as JSON, and at most {LARGEST_RESULT:,} are kept")
    return result


def _sentence(error: BaseException) -> str:
    """What a job's record says of an exception: never a traceback."""
    if isinstance(error, Fault):
        return error.message[:LONGEST_ERROR]
    said = str(error).strip()
    if isinstance(error, Retry | Reject):
        return said[:LONGEST_ERROR]
    if isinstance(error, TimedOut):
        return f"it {said}"
    return f"{type(error).__name__}: {said}"[:LONGEST_ERROR] if said else type(error).__name__


async def _absent(*_: Any) -> None:
    raise Fault("the worker has been stopped")
