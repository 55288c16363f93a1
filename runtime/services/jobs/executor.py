"""Tries under way: each in a task of its own, with a time limit that ends it whether it wants to or not."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Final

from runtime.services.jobs.claiming import Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runtime.services.jobs.claiming import Claimed, Ending

logger = logging.getLogger("runtime.jobs")

GRACE: Final = 1.0
"""Seconds that a try has to end by itself after it was told to."""
AGAIN: Final = 0.25
"""Seconds after which it is told a second time, and then given up: a cancellation can get lost."""


class Try:
    """One try of a job."""

    __slots__ = ("claimed", "deadline", "ending", "task")

    def __init__(self, claimed: Claimed, deadline: float) -> None:
        self.claimed = claimed
        self.deadline = deadline
        self.ending: Ending | None = None
        self.task: asyncio.Task[None] | None = None


class Executor:
    """Runs tries; implements `Runner`.

    One timer serves all of them: time limits of a queue are alike, so that it seldom fires in vain.

    Args:
        work: makes a try; raises nothing but its own cancellation.
        judge: what a try came to that was told to end, or cancelled itself (no ending); the flag says that it has not
            ended and goes on beside us.
        limit: seconds that a try may take; infinite where whoever works keeps the limit itself.
        ended: hears of each try that is over, and what it came to.
    """

    def __init__(
        self,
        work: Callable[[Claimed], Awaitable[Outcome]],
        judge: Callable[[Claimed, Ending | None, bool], Outcome],
        limit: Callable[[Claimed], float],
        ended: Callable[[Claimed, Outcome], None],
    ) -> None:
        self._ended = ended
        self._limit = limit
        self._work = work
        self._judge = judge
        self._loop = asyncio.get_running_loop()
        self._tries: dict[Claimed, Try] = {}
        self._abandoned: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def abandoned(self) -> int:
        """Tries that have been given up and go on all the same."""
        return len(self._abandoned)

    def start(self, claimed: Claimed) -> None:
        trial = Try(claimed, self._loop.time() + self._limit(claimed))
        self._tries[claimed] = trial
        trial.task = self._loop.create_task(self._run(trial))
        if trial.deadline < (math.inf if self._timer is None else self._timer.when()):
            self._arm(trial.deadline)

    def end(self, claimed: Claimed, ending: Ending) -> None:
        trial = self._tries.get(claimed)
        if trial is not None and trial.ending is None and trial.task is not None:
            trial.ending = ending
            trial.task.cancel()
            self._loop.call_later(GRACE, self._insist, trial, True)

    async def close(self) -> None:
        """Ends what is still running, given up or not, as far as it can be ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        tasks = {trial.task for trial in self._tries.values() if trial.task is not None} | self._abandoned
        if tasks:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=AGAIN)
        self._tries.clear()

    async def _run(self, trial: Try) -> None:
        try:
            outcome = await self._work(trial.claimed)
        except asyncio.CancelledError:
            outcome = self._judge(trial.claimed, trial.ending, False)
        except BaseException as error:
            logger.exception("%s: what it came to cannot be told", trial.claimed.id)
            outcome = Outcome("failed", error=f"what it came to cannot be told ({type(error).__name__})")
        else:
            if trial.ending is not None and (trial.ending == "timeout" or outcome.status != "completed"):
                outcome = self._judge(trial.claimed, trial.ending, False)
        self._close(trial, outcome)

    def _close(self, trial: Try, outcome: Outcome) -> None:
        if self._tries.pop(trial.claimed, None) is not None:
            trial.claimed.settle(outcome)
            self._ended(trial.claimed, outcome)

    def _insist(self, trial: Try, again: bool) -> None:
        task = trial.task
        if task is None or task.done() or trial.claimed not in self._tries:
            return
        if again:
            task.cancel()
            self._loop.call_later(AGAIN, self._insist, trial, False)
            return
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)
        assert trial.ending is not None  # noqa: S101 - only a try that was told to end is insisted on
        self._close(trial, self._judge(trial.claimed, trial.ending, True))

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        following = math.inf
        for trial in list(self._tries.values()):
            if trial.ending is not None:
                continue
            if trial.deadline <= now:
                self.end(trial.claimed, "timeout")
            else:
                following = min(following, trial.deadline)
        if following < math.inf:
            self._arm(following)
