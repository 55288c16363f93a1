"""A schedule: puts a job into a queue at each due time of a cron expression."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import anyio

from runtime.errors import Conflict, Fault, Invalid, Unreachable
from runtime.health import Health
from runtime.services.jobs.clock import Clock, WallClock
from runtime.services.jobs.cron import Cron

if TYPE_CHECKING:
    from runtime.services.jobs.service import JobQueues
    from runtime.services.jobs.spec import QueueSpec, ScheduleSpec
    from runtime.storage.ports import Cache

logger = logging.getLogger("runtime.jobs")

GRACE: Final = timedelta(hours=1)
"""How late a missed due time may still run; well below `REMEMBERED`, so that it is known whether it has run."""

AGAIN: Final = timedelta(seconds=5)
"""The pause before the next try while Redis does not answer."""

KEPT: Final = 10 * 366 * 86_400.0
"""Seconds for which it is kept how far a schedule has come: longer than any two due times are apart (29 February)."""


class Schedule:
    """Enqueues the job of one entry of `schedules`.

    Each due time gives one job, however many instances share the Redis: the job carries the name of its due time, which
    the queue gives to one job alone (`once`), in the same step that stores it. An instance that dies at any point has
    either stored the job or not; in the second case another instance does it, or this one when it is back.

    After a downtime the last due time that was missed runs once, if it is not older than an hour; those before it do
    not. How far a schedule has come is kept in the cache. A schedule that is new, or whose times have changed, begins
    at its next due time.

    What remains: a due time is lost when no instance comes within the hour; a Redis that loses its data may run the
    last one twice; and where the clocks of instances differ, the one that is ahead says when. A job itself is delivered
    at least once, as every job.

    Args:
        name: its name in the spec.
        spec: its section of the spec.
        jobs: the queues.
        cache: where it keeps how far it has come.
        clock: the time of day.

    Raises at `start`:
        NotBuilt: this version does not have the queue's task.
        Invalid: the payload does not fit the task.
    """

    def __init__(
        self,
        name: str,
        spec: ScheduleSpec,
        jobs: JobQueues,
        cache: Cache,
        *,
        queue: QueueSpec | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._name = name
        self._spec = spec
        self._jobs = jobs
        self._queue = queue
        self._cache = cache
        self._clock = clock or WallClock()
        self._cron = Cron(spec.cron, spec.timezone)
        self._key = f"schedule:{name}"
        self._since: datetime | None = None
        self._last: datetime | None = None
        self._ill: str | None = None
        self._running: anyio.CancelScope | None = None

    async def start(self) -> None:
        name = self._spec.queue
        task = self._jobs.task(name, self._queue or self._jobs.settings(name))
        _ = task.mark
        try:
            task.parse(self._spec.payload)
        except Invalid as error:
            raise Invalid(f"schedules.{self._name}.payload: {error.message}", errors=error.errors) from error
        self._since = None
        self._running = anyio.CancelScope()

    async def watch(self) -> None:
        """Runs until `stop`."""
        if self._running is None:
            return
        with self._running:
            while True:
                await self._clock.until(await self._step())

    async def stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.cancel()

    async def health(self) -> Health:
        if self._running is None:
            return Health("down", "it does not run")
        details = {
            "next": self._cron.following(self._clock.now()).isoformat(),
            "last": self._last.isoformat() if self._last else None,
        }
        return Health("degraded", self._ill, details) if self._ill else Health(details=details)

    async def _step(self) -> datetime:
        """Enqueues what is due, and says when to look again."""
        now = self._clock.now()
        try:
            if self._since is None:
                self._since = await self._remembered(now)
            # A clock that was set back brings times once more; their names have been given, so they make no job.
            since = min(self._since, now)
            await self._catch_up(since, now)
        except Unreachable as error:
            if self._ill is None:
                logger.warning("schedules.%s: %s", self._name, error.message, extra={"schedule": self._name})
            self._ill = error.message
            return now + AGAIN
        self._since = now
        return self._cron.following(now)

    async def _catch_up(self, since: datetime, now: datetime) -> None:
        """Enqueues the last due time of a span, if there is one that is young enough."""
        due = self._cron.between(max(since, now - GRACE), now)
        if due:
            await self._enqueue(due[-1])
            if len(due) > 1:
                logger.warning(
                    "schedules.%s: %d due times before %s were missed",
                    self._name,
                    len(due) - 1,
                    due[-1].isoformat(),
                    extra={"schedule": self._name},
                )
            return
        self._ill = None
        if (missed := self._cron.following(since)) <= now:
            logger.warning(
                "schedules.%s: %s was missed, and is too long ago to be made up for",
                self._name,
                missed.isoformat(),
                extra={"schedule": self._name},
            )
            await self._remember(now)

    async def _enqueue(self, due: datetime) -> None:
        about = {"schedule": self._name, "queue": self._spec.queue}
        try:
            job = await self._jobs.enqueue(self._spec.queue, self._spec.payload, once=f"{self._key}:{due.isoformat()}")
            logger.info("schedules.%s: %s for %s", self._name, job.id, due.isoformat(), extra=about)
        except Conflict:
            logger.debug("schedules.%s: %s has its job already", self._name, due.isoformat(), extra=about)
        except Unreachable:
            raise
        except Fault as error:
            self._ill = f"{due.isoformat()} made no job: {error.message}"
            logger.error("schedules.%s: %s", self._name, self._ill, extra=about)
            return
        self._last = due
        await self._remember(due)
        self._ill = None

    async def _remembered(self, now: datetime) -> datetime:
        """Up to when its due times have been dealt with; a new schedule, or one with other times, begins now."""
        kept = await self._cache.get(self._key)
        if kept is not None:
            record = json.loads(kept)
            if record["times"] == self._times:
                self._last = datetime.fromisoformat(record["last"]) if record["last"] else None
                return datetime.fromisoformat(record["since"])
        await self._remember(now)
        return now

    async def _remember(self, since: datetime) -> None:
        record = {
            "times": self._times,
            "since": since.isoformat(),
            "last": self._last.isoformat() if self._last else None,
        }
        await self._cache.set(self._key, json.dumps(record).encode(), ttl=KEPT)

    @property
    def _times(self) -> list[str]:
        return [self._spec.cron, self._spec.timezone]
