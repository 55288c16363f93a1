"""The worker of a queue: claims its jobs, calls the task and decides what a try came to."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Fault, Invalid
from runtime.health import Health
from runtime.services.ending import end_tasks
from runtime.services.function import TimedOut
from runtime.services.jobs.calls import Calls, calls_of
from runtime.services.jobs.claiming import Claimed, Claimer, Ending, Outcome
from runtime.services.jobs.context import RunningJob
from runtime.services.jobs.executor import Executor
from runtime.services.jobs.growth import Growth
from runtime.services.jobs.health import queue_health
from runtime.services.jobs.limits import limits, slots
from runtime.services.jobs.patience import Patience
from runtime.services.jobs.payload import plain
from runtime.services.jobs.ports import ENDED, Reject, Retry
from runtime.services.jobs.spans import ended, processed
from runtime.services.jobs.times import LONGEST_DELAY
from runtime.services.names import seconds
from runtime.services.retry import pause
from runtime.telemetry.tracing import Tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime.services.ai.ports import Ai
    from runtime.services.events.ports import Events, Platform
    from runtime.services.jobs.service import JobQueues
    from runtime.services.jobs.spec import QueueSpec
    from runtime.services.notifications.ports import Notifications
    from runtime.services.outbox.ports import Transactions
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
        transactions: what its tasks write to the database with; None where there is none.
        mask: hides secrets in what a task's exception says, before a job's record keeps it.
        platform: is told what becomes of jobs, and how the worker grows.
        sandbox: where its tasks run untrusted code; None where the spec has no sandbox.
        ai: where its tasks ask models; None where the spec has none.
        tracing: where tries are traced.
        notifications: how its tasks tell people things; None where the spec has none.

    Raises at `start`:
        NotBuilt: this version does not have the queue's task.
    """

    def __init__(
        self,
        queue: str,
        spec: QueueSpec,
        jobs: JobQueues,
        events: Events | None = None,
        *,
        transactions: Transactions | None = None,
        mask: Callable[[str], str] = str,
        platform: Platform | None = None,
        sandbox: Sandbox | None = None,
        ai: Ai | None = None,
        notifications: Notifications | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._tracing = tracing or Tracing()
        self._sandbox = sandbox
        self._ai = ai
        self._notifications = notifications
        self._queue = queue
        self._spec = spec
        self._jobs = jobs
        self._events = events
        self._transactions = transactions
        self._mask = mask
        self._platform = platform
        self._told = [status for status in ENDED if platform is not None and platform.wants(f"job.{status}")]
        self._slots = slots(spec)
        self._claimer: Claimer | None = None
        self._loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._task = self._jobs.task(self._queue, self._spec)
        self._calls: Calls = calls_of(self._task.mark, self._slots, self._spec.memory)
        self._executor = Executor(self._traced, self._judged, self._limit, self._ended)
        self._patience = Patience(self._spec, self._executor, self._platform)
        self._claimer = self._jobs.backend.claimer(self._queue, limits(self._spec), self._slots, self._patience)
        self._growth = Growth(self._queue, self._spec, self._jobs, self._claimer.activity, self._resize, self._platform)
        await self._claimer.begin()
        self._loops = [
            asyncio.create_task(self._growth.watch(), name=f"growth {self._queue}"),
            asyncio.create_task(self._patience.watch(), name=f"patience {self._queue}"),
        ]

    async def watch(self) -> None:
        claimer = self._claimer
        if claimer is None:
            return
        claiming = asyncio.create_task(claimer.watch(), name=f"watch {self._queue}")
        try:
            done, _ = await asyncio.wait([claiming, *self._loops], return_when=asyncio.FIRST_COMPLETED)
            if self._claimer is claimer:  # else it is being stopped
                for loop in done:
                    await loop
        finally:
            claiming.cancel()

    async def stop(self) -> None:
        claimer, self._claimer = self._claimer, None
        if claimer is not None:
            loops, self._loops = self._loops, []
            await end_tasks(loops)
            await claimer.end(self._spec.drain)
            await self._executor.close()
            await self._calls.stop()

    async def update(self, fields: Mapping[str, Any]) -> None:
        changed = type(self._spec).model_validate({"handler": self._spec.handler, **fields})
        self._spec = self._spec.model_copy(update={name: getattr(changed, name) for name in fields})
        self._jobs.adopt(self._queue, self._spec)
        self._slots = slots(self._spec)
        if self._claimer is not None:
            self._patience.adopt(self._spec)
            self._resize(self._growth.adopt(self._spec))

    def _resize(self, concurrency: int) -> None:
        self._slots = concurrency
        self._calls.resize(concurrency)
        if self._claimer is not None:
            self._claimer.resize(concurrency, limits(self._spec))

    async def health(self) -> Health:
        """Whether it runs, what it does, and how its queue stands against the thresholds of the spec."""
        if self._claimer is None:
            return Health("down", "it does not run")
        activity = self._claimer.activity
        details: dict[str, Any] = {
            "concurrency": self._slots,
            "running": activity.running,
            **activity.counts,
            "taken_over": activity.returned,
            **self._calls.lost(),
        }
        if self._growth.reason:
            details["concurrency_because"] = self._growth.reason
        if self._executor.abandoned:
            details["given_up"] = self._executor.abandoned
        if activity.away is not None:
            return Health("degraded", f"Redis does not answer: {activity.away}", details)
        try:
            counts = await self._jobs.backend.counts(self._queue, limits(self._spec))
        except Fault as error:
            return Health("degraded", error.message, details)
        stands = queue_health(self._spec.health, failed=counts.dead, waiting=counts.waiting)
        return Health(stands.status, stands.reason, details)

    def _limit(self, claimed: Claimed) -> float:
        """Seconds after which the executor ends a try."""
        return math.inf if self._calls.limited else self._time(claimed)

    def _time(self, claimed: Claimed) -> float:
        return self._spec.timeout if claimed.timeout is None else claimed.timeout

    def _ended(self, claimed: Claimed, outcome: Outcome) -> None:
        self._patience.forget(claimed)
        if outcome.status in self._told and self._platform is not None:
            self._platform.job_ended(claimed.id, claimed.queue, status=outcome.status, error=outcome.error)

    async def _traced(self, claimed: Claimed) -> Outcome:
        if self._tracing.tracer is None:
            return await self._attempt(claimed)
        span, outcome = processed(self._tracing.tracer, claimed), None
        try:
            outcome = await self._attempt(claimed)
            return outcome
        finally:
            ended(span, outcome)

    async def _attempt(self, claimed: Claimed) -> Outcome:
        """Makes one try of a job; raises nothing but its own cancellation."""
        try:
            payload = self._task.parse(claimed.payload)
        except Invalid as error:  # it was accepted, so the task has changed since then: no try can succeed
            logger.error("%s: its task does not take its payload any more: %s", claimed.id, error, extra=about(claimed))
            return Outcome("failed", error=_sentence(error))
        job = RunningJob(
            claimed, self._jobs, self._events, self._transactions, self._sandbox, self._ai, self._notifications
        )
        try:
            value = await self._calls.call(job, claimed, payload, self._time(claimed))
            announced = await job.announced()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a task raises harms no other job
            return self._failed(claimed, error)
        if value is None:
            return Outcome("completed", announced=announced)
        try:
            return Outcome("completed", result=_kept(value), announced=announced)
        except (TypeError, ValueError, RecursionError) as error:
            logger.exception("%s: its result cannot be kept", claimed.id, extra=about(claimed))
            return Outcome("failed", error=f"its result cannot be kept: {error}"[:LONGEST_ERROR])

    def _judged(self, claimed: Claimed, ending: Ending | None, goes_on: bool) -> Outcome:
        """What a try came to that did not end by itself."""
        match ending:
            case "timeout":
                return self._failed(claimed, TimedOut(self._time(claimed), left_running=goes_on))
            case "cancel":
                return Outcome("cancelled")
            case "pause":
                return Outcome("paused", ran_long=self._patience.asked_to_pause(claimed))
            case "stop":
                logger.error("%s was stopped: it ran too long", claimed.id, extra=about(claimed))
                return Outcome("failed", error="it ran too long although its owner had been warned")
            case "drain":
                return Outcome("back")
            case None:
                return self._failed(claimed, asyncio.CancelledError("it cancelled itself"))

    def _failed(self, claimed: Claimed, error: BaseException) -> Outcome:
        sentence = self._mask(_sentence(error))
        if isinstance(error, Reject):
            logger.warning("%s was rejected by its task: %s", claimed.id, sentence, extra=about(claimed))
            return Outcome("failed", error=sentence)
        trace = None if isinstance(error, Fault | Retry | TimedOut) else error
        if claimed.attempt >= claimed.attempts:
            tries = claimed.attempt
            logger.error(
                "%s failed for good at try %d: %s", claimed.id, tries, sentence, exc_info=trace, extra=about(claimed)
            )
            return Outcome("failed", error=sentence)
        retry = self._spec.retry
        if claimed.backoff is not None:
            retry = retry.model_copy(update={"backoff": claimed.backoff})
        delay = pause(claimed.attempt, retry)
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
            extra=about(claimed),
        )
        return Outcome("retry", error=sentence, delay=delay)


def about(claimed: Claimed) -> dict[str, Any]:
    """What the log says of a job beside the words."""
    return {"job": claimed.id, "queue": claimed.queue, "attempt": claimed.attempt}


def _wanted(after: str | float) -> float:
    try:
        delay = seconds(after) if isinstance(after, str) else float(after)
    except (TypeError, ValueError):
        delay = None
    if delay is None or not 0 <= delay <= LONGEST_DELAY:
        logger.error('Retry(after=%r) is no duration to wait: write it as "30s"', after)
        return 0.0
    return delay


def _kept(value: Any) -> Any:
    result = plain(value)
    size = len(json.dumps(result, allow_nan=False, ensure_ascii=False).encode())
    if size > LARGEST_RESULT:
        raise ValueError(f"it has {size:,} bytes as JSON, and at most {LARGEST_RESULT:,} are kept")
    return result


def _sentence(error: BaseException) -> str:
    """What a job's record says of an exception: never a traceback."""
    if isinstance(error, Fault):
        return error.message[:LONGEST_ERROR]
    try:
        said = str(error).strip()
    except Exception:  # noqa: BLE001 - a task's exception may have words of its own, and these may fail
        said = "it cannot be put into words"
    if isinstance(error, Retry | Reject):
        return said[:LONGEST_ERROR]
    if isinstance(error, TimedOut):
        return f"it {said}"
    return f"{type(error).__name__}: {said}"[:LONGEST_ERROR] if said else type(error).__name__
