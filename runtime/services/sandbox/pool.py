"""The jobs of one language: each waits for its turn and a worker, and gets its answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import TooMany
from runtime.services.sandbox import replies
from runtime.services.sandbox.crew import PAUSES, Crew, Size
from runtime.services.sandbox.errors import NotReady, WorkerDied
from runtime.services.sandbox.launch import GROWTH
from runtime.services.sandbox.ports import Execution, Failure
from runtime.services.sandbox.queue import FairQueue

if TYPE_CHECKING:
    from runtime.services.sandbox.launch import Launch
    from runtime.services.sandbox.order import Order
    from runtime.services.sandbox.process import WorkerProcess

logger = logging.getLogger("runtime.sandbox")

MOST_WAITING: Final = 1000
MOST_WAITING_OF_ONE: Final = 500
TRIES: Final = 2
"""Of a job whose worker was ended by a stranger's hand."""


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
        self.crew = Crew(launch, size, self)
        self.outcomes: Counter[str] = Counter()
        self._queue: FairQueue[_Waiting] = FairQueue()

    async def stop(self, patience: float = 5.0) -> None:
        """Takes no more jobs, lets those go on that it has, and ends every worker."""
        self.crew.open = False
        deadline = time.monotonic() + patience
        while (self._queue or self.crew.busy) and time.monotonic() < deadline:
            self.crew.changed.clear()
            await _quietly(self.crew.changed.wait(), deadline - time.monotonic())
        while self._queue:
            self._queue.take().done.set_exception(_stopping())
        await self.crew.stop()

    async def execute(self, caller: str, order: Order) -> Execution:
        """Runs a job when its turn has come.

        Raises:
            TooMany: too much waits already.
            NotReady: it stops, or no worker comes up.
        """
        if not self.crew.open:
            raise _stopping()
        if self.crew.hopeless:
            raise NotReady(f"no worker comes up: {self.crew.reason}", retry_after=PAUSES[-1])
        if len(self._queue) >= MOST_WAITING or self._queue.of(caller) >= MOST_WAITING_OF_ONE:
            raise TooMany(f"{len(self._queue)} executions wait already", retry_after=5.0)
        waiting = _Waiting(caller, order)
        self._queue.put(caller, waiting)
        self.dispatch()
        self.crew.fill()
        return await waiting.done

    def details(self) -> dict[str, Any]:
        """Figures for an operator."""
        return {
            "workers": self.crew.statuses(),
            "waiting": len(self._queue),
            "executions": dict(self.outcomes),
            "replaced": self.crew.replaced,
        }

    # -- what the crew works on ---------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def dispatch(self) -> None:
        """Gives waiting jobs to idle workers."""
        while self._queue and (worker := self.crew.free()) and (waiting := self._next()):
            worker.reserve()
            self.crew.spawn(self._serve(worker, waiting))

    def refuse(self, reason: str, retry_after: float) -> None:
        """Tells all who wait that they wait in vain."""
        while self._queue:
            self._queue.take().done.set_exception(NotReady(reason, retry_after=retry_after))

    # -- one job -----------------------------------------------------------------------------------------------------

    def _next(self) -> _Waiting | None:
        while self._queue:
            waiting = self._queue.take()
            if not waiting.done.done():  # else its caller has gone
                return waiting
        return None

    async def _serve(self, worker: WorkerProcess, waiting: _Waiting) -> None:
        order = waiting.order
        waiting.tries += 1
        allowance = order.memory + GROWTH[self.crew.launch.language]
        try:
            answer = await worker.run(order, allowance=allowance)
        except WorkerDied as death:
            await self._bury(worker, waiting, death.cause)
            return
        outcome = replies.execution(answer, order, allowance=allowance)
        worker.recycle |= outcome.status == "memory" and answer.growth > allowance
        self._settle(waiting, outcome)
        await self.crew.rest(worker)
        self.dispatch()
        self.crew.changed.set()

    async def _bury(self, worker: WorkerProcess, waiting: _Waiting, cause: str) -> None:
        """Answers or retries the job of a worker that has ended."""
        self.crew.fill()
        if cause == "signal":
            await worker.gone.wait()
        outcome = replies.lost(cause, worker, waiting.order)
        if outcome is not None:
            if outcome.error is not None and outcome.error.type == "Violation":
                logger.warning("code of %s tried to call the system; its worker was ended", waiting.caller)
            self._settle(waiting, outcome)
        elif waiting.tries < TRIES and not waiting.done.done():
            self._queue.put_back(waiting.caller, waiting)
            self.crew.fill()
        else:
            failure = Failure("WorkerLost", f"its worker was killed {waiting.tries} times (exit {worker.exit_code})")
            self._settle(waiting, Execution("error", error=failure))
        self.dispatch()
        self.crew.changed.set()

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
