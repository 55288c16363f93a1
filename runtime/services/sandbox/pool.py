"""The workers of one language: as many as are needed, never more than are allowed, and a warm one to spare."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import TooMany
from runtime.services.sandbox import replies
from runtime.services.sandbox.errors import NotReady, WorkerDied, WorkerFailed
from runtime.services.sandbox.launch import GROWTH
from runtime.services.sandbox.ports import Execution, Failure
from runtime.services.sandbox.process import WorkerProcess
from runtime.services.sandbox.queue import FairQueue

if TYPE_CHECKING:
    from runtime.services.sandbox.launch import Launch
    from runtime.services.sandbox.order import Order

logger = logging.getLogger("runtime.sandbox")

MOST_WAITING: Final = 1000
MOST_WAITING_OF_ONE: Final = 500
IDLE_LIMIT: Final = 30.0
"""Seconds after which a worker that nobody needs is ended, but for the spares."""
SWELLING: Final = {"javascript": 28_000_000, "python": 40_000_000}
"""Bytes by which a resting worker may have outgrown a fresh one before it is replaced."""
TRIES: Final = 2
"""Of a job whose worker was ended by a stranger's hand."""
_PAUSES: Final = (0.1, 0.5, 2.0, 10.0, 30.0)
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


class _Waiting:
    """A job that waits for its worker, or runs."""

    def __init__(self, caller: str, order: Order) -> None:
        self.caller = caller
        self.order = order
        self.tries = 0
        self.done: asyncio.Future[Execution] = asyncio.get_running_loop().create_future()


class Pool:
    """Runs jobs of one language in worker processes.

    Args:
        launch: what its workers are started with.
    """

    def __init__(self, launch: Launch, size: Size) -> None:
        self.launch = launch
        self._size = size
        self._queue: FairQueue[_Waiting] = FairQueue()
        self._workers: set[WorkerProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = False
        self._failures = 0
        self._resume: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self.reason = ""
        """Why the last worker did not come up; empty where it did."""
        self.facts: dict[str, Any] = {}
        """What the last worker that came up said of itself."""
        self.outcomes: Counter[str] = Counter()
        self.replaced = 0
        """Workers that were ended or died, since the start."""

    async def start(self) -> None:
        """Returns when a worker is ready.

        Raises:
            WorkerFailed: none came up.
        """
        self._open = True
        self._fill()
        while not self.facts:
            if self._failures:
                raise WorkerFailed(self.reason)
            self._changed.clear()
            await self._changed.wait()

    async def stop(self, patience: float = 5.0) -> None:
        """Takes no more jobs, lets those go on that it has, and ends every worker."""
        self._open = False
        deadline = time.monotonic() + patience
        while (self._queue or self._busy()) and time.monotonic() < deadline:
            self._changed.clear()
            await _quietly(self._changed.wait(), deadline - time.monotonic())
        while self._queue:
            self._queue.take().done.set_exception(_stopping())
        if self._resume is not None:
            self._resume.cancel()
        workers, tasks = list(self._workers), list(self._tasks)
        for worker in workers:
            worker.kill()
        await asyncio.gather(*(worker.gone.wait() for worker in workers))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def execute(self, caller: str, order: Order) -> Execution:
        """Runs a job when its turn has come.

        Raises:
            TooMany: too much waits already.
            NotReady: it stops, or no worker comes up.
        """
        if not self._open:
            raise _stopping()
        if self._failures >= len(_PAUSES) and not self._workers:
            raise NotReady(f"no worker comes up: {self.reason}", retry_after=_PAUSES[-1])
        if len(self._queue) >= MOST_WAITING or self._queue.of(caller) >= MOST_WAITING_OF_ONE:
            raise TooMany(f"{len(self._queue)} executions wait already", retry_after=5.0)
        waiting = _Waiting(caller, order)
        self._queue.put(caller, waiting)
        self._dispatch()
        self._fill()
        return await waiting.done

    def renew(self, launch: Launch, size: Size) -> None:
        """Adopts another size; workers started with other fields are replaced as they become free."""
        changed, self.launch, self._size = launch != self.launch, launch, size
        if changed:
            for worker in self._workers:
                worker.recycle = True
                if worker.status == "idle":
                    worker.end()
        if self._open:
            self._fill()

    def sweep(self) -> None:
        """Looks after idle workers: those that are silent are killed, those that nobody needs are ended."""
        idle = [worker for worker in self._workers if worker.status == "idle"]
        unneeded = sorted(idle, key=lambda worker: worker.since)[: max(0, len(idle) - max(1, self._size.spares))]
        for worker in idle:
            worker.ping()
        for worker in unneeded:
            if worker.status == "idle" and time.monotonic() - worker.since > IDLE_LIMIT:
                worker.end()

    @property
    def ready(self) -> bool:
        return any(worker.status in ("idle", "processing") for worker in self._workers)

    def details(self) -> dict[str, Any]:
        """Figures for an operator."""
        return {
            "workers": dict(Counter(worker.status for worker in self._workers)),
            "waiting": len(self._queue),
            "executions": dict(self.outcomes),
            "replaced": self.replaced,
        }

    async def states(self) -> dict[int, bytes]:
        """What the state of each idle worker comes to, by process id; waits until there is one."""
        while not (idle := [worker for worker in self._workers if worker.status == "idle"]):
            self._changed.clear()
            await self._changed.wait()
        return {worker.pid: await worker.digest() for worker in idle}

    def processes(self) -> list[int]:
        """The process ids of its workers."""
        return [worker.pid for worker in self._workers if worker.pid]

    # -- workers -----------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Starts workers until those that are needed and a spare are there."""
        if not self._open or self._resume is not None:
            return
        alive = [worker for worker in self._workers if worker.status != "terminating" and not worker.gone.is_set()]
        needed = min(self._size.workers, self._busy() + len(self._queue)) + self._size.spares
        for _ in range(max(1, min(needed, self._size.workers + self._size.spares)) - len(alive)):
            worker = WorkerProcess(self.launch)
            self._workers.add(worker)
            self._spawn(self._life(worker))

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
        self._failures, self.reason = 0, ""
        self.facts = worker.facts
        if worker.launch != self.launch:
            worker.end()
        self._dispatch()
        self._changed.set()
        try:
            await worker.gone.wait()
        finally:
            self._workers.discard(worker)
            self.replaced += 1
            self._changed.set()
            self._fill()

    def _failed(self, reason: str) -> None:
        if not self._open:
            return
        self.reason = reason
        self._changed.set()
        if self._resume is not None:
            return  # one of several that were starting at once
        pause = _PAUSES[min(self._failures, len(_PAUSES) - 1)]
        self._failures += 1
        logger.error("a worker for %s did not come up, the next try in %g s: %s", self.launch.language, pause, reason)
        if self._failures >= len(_PAUSES) and not self.ready:
            while self._queue:
                self._queue.take().done.set_exception(NotReady(f"no worker comes up: {reason}", retry_after=pause))
        self._resume = asyncio.get_running_loop().call_later(pause, self._try_again)

    def _try_again(self) -> None:
        self._resume = None
        self._fill()

    def _busy(self) -> int:
        return sum(worker.status == "processing" for worker in self._workers)

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- jobs --------------------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Gives waiting jobs to idle workers."""
        for worker in self._workers:
            if not self._queue or self._busy() >= self._size.workers:
                return
            if worker.status == "idle" and (waiting := self._next()):
                worker.reserve()
                self._spawn(self._serve(worker, waiting))

    def _next(self) -> _Waiting | None:
        while self._queue:
            waiting = self._queue.take()
            if not waiting.done.done():  # else its caller has gone
                return waiting
        return None

    async def _serve(self, worker: WorkerProcess, waiting: _Waiting) -> None:
        order = waiting.order
        waiting.tries += 1
        allowance = order.memory + GROWTH[self.launch.language]
        try:
            answer = await worker.run(order, allowance=allowance)
        except WorkerDied as death:
            await self._bury(worker, waiting, death.cause)
            return
        outcome = replies.execution(answer, order, allowance=allowance)
        worker.recycle |= outcome.status == "memory" and answer.growth > allowance
        self._settle(waiting, outcome)
        await self._renewed(worker)
        self._dispatch()
        self._changed.set()

    async def _renewed(self, worker: WorkerProcess) -> None:
        if not await worker.renewed():
            return
        swollen = worker.size - worker.first > SWELLING[self.launch.language]
        if worker.recycle or swollen or worker.jobs >= self._size.recycle:
            worker.end()
            self._fill()

    async def _bury(self, worker: WorkerProcess, waiting: _Waiting, cause: str) -> None:
        """Answers or retries the job of a worker that has ended."""
        self._fill()
        if cause == "signal":
            await worker.gone.wait()
        outcome = replies.lost(cause, worker, waiting.order)
        if outcome is not None:
            if outcome.error is not None and outcome.error.type == "Violation":
                logger.warning("code of %s tried to call the system; its worker was ended", waiting.caller)
            self._settle(waiting, outcome)
        elif waiting.tries < TRIES and not waiting.done.done():
            self._queue.put_back(waiting.caller, waiting)
            self._fill()
        else:
            failure = Failure("WorkerLost", f"its worker was killed {waiting.tries} times (exit {worker.exit_code})")
            self._settle(waiting, Execution("error", error=failure))
        self._dispatch()
        self._changed.set()

    def _settle(self, waiting: _Waiting, outcome: Execution) -> None:
        self.outcomes[outcome.status] += 1
        if not waiting.done.done():
            waiting.done.set_result(outcome)


def _stopping() -> NotReady:
    return NotReady("the sandbox is stopping", retry_after=5.0)


async def _quietly(awaitable: Any, limit: float) -> None:
    try:
        async with asyncio.timeout(max(0.0, limit)):
            await awaitable
    except TimeoutError:
        pass
