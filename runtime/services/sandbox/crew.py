"""The worker processes of one language: as many as are needed, never more than are allowed, and a warm one to spare."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from runtime.services.sandbox.errors import WorkerFailed
from runtime.services.sandbox.process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from runtime.services.sandbox.launch import Launch

logger = logging.getLogger("runtime.sandbox")

IDLE_LIMIT: Final = 30.0
"""Seconds after which a worker that nobody needs is ended, but for the spares."""
SWELLING: Final = {"javascript": 28_000_000, "python": 40_000_000}
"""Bytes by which a resting worker may have outgrown a fresh one before it is replaced."""
PAUSES: Final = (0.1, 0.5, 2.0, 10.0, 30.0)
"""Seconds before another worker is tried after one, two … that did not come up."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many workers.

    Args:
        workers: that may run jobs at once.
        spares: that wait beyond those.
        recycle: jobs after which one is replaced.
    """

    workers: int
    spares: int
    recycle: int


class Work(Protocol):
    """The jobs for which workers are needed."""

    @property
    def waiting(self) -> int:
        """How many have no worker yet."""
        ...

    def dispatch(self) -> None:
        """A worker has come up."""
        ...

    def refuse(self, reason: str, retry_after: float) -> None:
        """None comes up."""
        ...


class Crew:
    """Starts, replaces and ends the workers of a pool.

    Args:
        launch: what they are started with.
        work: what they are for.
    """

    def __init__(self, launch: Launch, size: Size, work: Work) -> None:
        self.launch = launch
        self.size = size
        self.open = False
        """Whether workers are started."""
        self.failures = 0
        """Workers that did not come up, since the last one that did."""
        self.reason = ""
        """Why the last worker did not come up; empty where it did."""
        self.facts: dict[str, Any] = {}
        """What the last worker that came up said of itself."""
        self.replaced = 0
        """Workers that were ended or died, since the start."""
        self.changed = asyncio.Event()
        """Something has come up, failed, ended or become free."""
        self._work = work
        self._workers: set[WorkerProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._resume: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Returns when a worker is ready.

        Raises:
            WorkerFailed: none came up.
        """
        self.open = True
        self.fill()
        while not self.facts:
            if self.failures:
                raise WorkerFailed(self.reason)
            self.changed.clear()
            await self.changed.wait()

    async def stop(self) -> None:
        """Ends every worker."""
        if self._resume is not None:
            self._resume.cancel()
        workers, tasks = list(self._workers), list(self._tasks)
        for worker in workers:
            worker.kill()
        await asyncio.gather(*(worker.gone.wait() for worker in workers))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def renew(self, launch: Launch, size: Size) -> None:
        """Adopts another size; workers started with other fields are replaced as they become free."""
        changed, self.launch, self.size = launch != self.launch, launch, size
        if changed:
            for worker in self._workers:
                worker.recycle = True
                if worker.status == "idle":
                    worker.end()
        if self.open:
            self.fill()

    def fill(self) -> None:
        """Starts workers until those that are needed and a spare are there."""
        if not self.open or self._resume is not None:
            return
        alive = [worker for worker in self._workers if worker.status != "terminating" and not worker.gone.is_set()]
        needed = min(self.size.workers, self.busy + self._work.waiting) + self.size.spares
        for _ in range(max(1, min(needed, self.size.workers + self.size.spares)) - len(alive)):
            worker = WorkerProcess(self.launch)
            self._workers.add(worker)
            self.spawn(self._life(worker))

    def free(self) -> WorkerProcess | None:
        """An idle worker that may take a job; None where there is none, or as many as may are at work."""
        if self.busy >= self.size.workers:
            return None
        return next((worker for worker in self._workers if worker.status == "idle"), None)

    async def rest(self, worker: WorkerProcess) -> None:
        """Makes a worker ready for its next job, or replaces it."""
        if not await worker.renewed():
            return
        swollen = worker.size - worker.first > SWELLING[self.launch.language]
        if worker.recycle or swollen or worker.jobs >= self.size.recycle:
            worker.end()
            self.fill()

    def sweep(self) -> None:
        """Looks after idle workers: those that are silent are killed, those that nobody needs are ended."""
        idle = self._idle()
        unneeded = sorted(idle, key=lambda worker: worker.since)[: max(0, len(idle) - max(1, self.size.spares))]
        for worker in idle:
            worker.ping()
        for worker in unneeded:
            if worker.status == "idle" and time.monotonic() - worker.since > IDLE_LIMIT:
                worker.end()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Runs something beside, until it has ended or the crew is stopped."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def busy(self) -> int:
        """Workers that run a job."""
        return sum(worker.status == "processing" for worker in self._workers)

    @property
    def ready(self) -> bool:
        """Whether there is one that runs a job or could."""
        return any(worker.status in ("idle", "processing") for worker in self._workers)

    @property
    def hopeless(self) -> bool:
        """Whether there is no worker, and the last tries have failed."""
        return self.failures >= len(PAUSES) and not self._workers

    def statuses(self) -> dict[str, int]:
        """How many workers there are, by their status."""
        return dict(Counter(worker.status for worker in self._workers))

    def processes(self) -> list[int]:
        """Their process ids."""
        return [worker.pid for worker in self._workers if worker.pid]

    async def states(self) -> dict[int, bytes]:
        """What the state of each idle worker comes to, by process id; waits until there is one."""
        while not (idle := self._idle()):
            self.changed.clear()
            await self.changed.wait()
        return {worker.pid: await worker.digest() for worker in idle}

    def _idle(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker.status == "idle"]

    async def _life(self, worker: WorkerProcess) -> None:
        """One worker, from its start to its end."""
        try:
            await worker.start()
        except (WorkerFailed, OSError) as error:
            self._workers.discard(worker)
            self._failed(str(error))
            return
        except BaseException:
            self._workers.discard(worker)
            raise
        self.failures, self.reason = 0, ""
        self.facts = worker.facts
        if worker.launch != self.launch:
            worker.end()
        self._work.dispatch()
        self.changed.set()
        try:
            await worker.gone.wait()
        finally:
            self._workers.discard(worker)
            self.replaced += 1
            self.changed.set()
            self.fill()

    def _failed(self, reason: str) -> None:
        if not self.open:
            return
        self.reason = reason
        self.changed.set()
        if self._resume is not None:
            return  # one of several that were starting at once
        pause = PAUSES[min(self.failures, len(PAUSES) - 1)]
        self.failures += 1
        logger.error("a worker for %s did not come up, the next try in %g s: %s", self.launch.language, pause, reason)
        if self.failures >= len(PAUSES) and not self.ready:
            self._work.refuse(f"no worker comes up: {reason}", pause)
        self._resume = asyncio.get_running_loop().call_later(pause, self._try_again)

    def _try_again(self) -> None:
        self._resume = None
        self.fill()
