"""Jobs that run long: their owner is told, then the job is paused once, then it is stopped; see `registry`."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING

from runtime.services.jobs.registry import ActiveJobs, Pause, Step, Stop, Warn

if TYPE_CHECKING:
    from runtime.services.events.ports import Platform
    from runtime.services.jobs.claiming import Claimed, Ending, Runner
    from runtime.services.jobs.spec import QueueSpec

logger = logging.getLogger("runtime.jobs")


class Patience:
    """Hands jobs on to a runner and watches how long they run; implements `Runner`.

    Args:
        runner: runs them, and keeps the hard limit.
        platform: is told of each step.
    """

    def __init__(self, spec: QueueSpec, runner: Runner, platform: Platform | None) -> None:
        self._runner = runner
        self._platform = platform
        self._running: dict[str, Claimed] = {}
        self._asked: set[Claimed] = set()
        self._changed = asyncio.Event()
        self._active: ActiveJobs | None = None
        self._following: float | None = None
        self.adopt(spec)

    def adopt(self, spec: QueueSpec) -> None:
        """Takes over a queue's section."""
        if spec.long_running is None:
            self._active = None
        elif self._active is None or self._active.long_running != spec.long_running:
            self._active = ActiveJobs(spec.long_running, math.inf)

    def start(self, claimed: Claimed) -> None:
        if self._active is not None:
            now = asyncio.get_running_loop().time()
            self._active.add(
                claimed.id, now, owner=claimed.owner, premium=claimed.premium, paused_before=claimed.paused_before
            )
            self._running[claimed.id] = claimed
            if self._active.starts_early(claimed.id, self._following):
                self._changed.set()
        self._runner.start(claimed)

    def end(self, claimed: Claimed, ending: Ending) -> None:
        self._runner.end(claimed, ending)

    def asked_to_pause(self, claimed: Claimed) -> bool:
        """Whether a job is paused because it ran long, not because somebody asked."""
        return claimed in self._asked

    def forget(self, claimed: Claimed) -> None:
        """A try is over."""
        if self._running.get(claimed.id) is claimed:
            del self._running[claimed.id]
            self._asked.discard(claimed)
            if self._active is not None:
                self._active.remove(claimed.id)

    async def watch(self) -> None:
        """Warns, pauses and stops until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            self._following = None
            if self._active is not None:
                for step in self._active.due(loop.time()):
                    self._take(step)
                self._following = self._active.next_due()
            try:
                async with asyncio.timeout_at(self._following):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _take(self, step: Step) -> None:
        claimed = self._running[step.job]
        about = {"job": step.job, "queue": claimed.queue}
        match step:
            case Warn():
                what = "warned"
                logger.warning("%s runs for %.0f s already", step.job, step.ran, extra=about)
            case Pause():
                what = "paused"
                logger.warning("%s is paused: it has run for %.0f s", step.job, step.ran, extra=about)
                self._asked.add(claimed)
                self._runner.end(claimed, "pause")
            case Stop():
                what = "stopped"
                self._runner.end(claimed, "stop")
        if self._platform is not None:
            self._platform.job_runs_long(step.job, claimed.queue, owner=step.owner, ran=step.ran, step=what)
