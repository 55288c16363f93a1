"""The concurrency of a queue whose spec gives bounds: asked for once a second, from what the worker is under."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from runtime.errors import Fault
from runtime.services.jobs.limits import limits
from runtime.services.jobs.load import LoopLag, memory_limit, memory_part
from runtime.services.jobs.scaling import Load, Scaler

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.services.events.ports import Platform
    from runtime.services.jobs.claiming import Activity
    from runtime.services.jobs.service import JobQueues
    from runtime.services.jobs.spec import QueueSpec

logger = logging.getLogger("runtime.jobs")

TICK: Final = 1.0
ENOUGH_TRIES: Final = 10
"""Of fewer tries the part that failed says little."""


class Growth:
    """Follows the load of one queue in this process; does nothing where the spec gives one number.

    Args:
        activity: what the worker does.
        resize: changes how many jobs run at once.
        platform: is told of each change.
    """

    def __init__(
        self,
        queue: str,
        spec: QueueSpec,
        jobs: JobQueues,
        activity: Activity,
        resize: Callable[[int], None],
        platform: Platform | None,
    ) -> None:
        self._queue = queue
        self._jobs = jobs
        self._activity = activity
        self._resize = resize
        self._platform = platform
        self._memory = memory_limit()
        self._scaler: Scaler | None = None
        self._bounded = asyncio.Event()
        self._tries = self._failures = 0
        self.adopt(spec)

    @property
    def reason(self) -> str:
        """Why the concurrency is what it is; empty where the spec says it."""
        return self._scaler.reason if self._scaler is not None else ""

    def adopt(self, spec: QueueSpec) -> int:
        """Takes over changed bounds; the concurrency within them."""
        self._spec = spec
        wanted = spec.concurrency
        if isinstance(wanted, int):
            self._scaler = None
            self._bounded.clear()
            return wanted
        self._bounded.set()
        if self._scaler is None:
            self._scaler = Scaler(wanted.min, wanted.max)
            return wanted.min
        return self._scaler.bound(wanted.min, wanted.max)

    async def watch(self) -> None:
        """Adjusts the concurrency until it is cancelled."""
        lag = LoopLag()
        while True:
            await self._bounded.wait()
            lag.start()
            try:
                while self._scaler is not None:
                    await asyncio.sleep(TICK)
                    await self._tick(self._scaler, lag)
            finally:
                lag.stop()

    async def _tick(self, scaler: Scaler, lag: LoopLag) -> None:
        try:
            counts = await self._jobs.backend.counts(self._queue, limits(self._spec))
        except Fault:
            return  # the server is away: whoever claims says so
        before = scaler.concurrency
        load = Load(
            counts.waiting, self._activity.running, lag.milliseconds, memory_part(self._memory), self._failing()
        )
        after = scaler.tick(load)
        if after != before and scaler is self._scaler:
            self._resize(after)
            logger.info("%s: %d jobs at once instead of %d: %s", self._queue, after, before, scaler.reason)
            if self._platform is not None:
                self._platform.scaled(self._queue, before=before, after=after, reason=scaler.reason)

    def _failing(self) -> float:
        """The part of the tries since the last tick that failed."""
        counts = self._activity.counts
        failures = counts.get("failed", 0) + counts.get("retry", 0)
        tries = failures + counts.get("completed", 0)
        lately, failed = tries - self._tries, failures - self._failures
        self._tries, self._failures = tries, failures
        return failed / lately if lately >= ENOUGH_TRIES else 0.0
