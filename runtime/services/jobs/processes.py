"""Handlers that need a whole processor: `@task(..., process=True)` runs in a child process.

A pool keeps a few children, each of which imports the task's module and runs one job at a time. What a job does to its
process, it does to itself alone: it may crash, leak, exit or compute without end. Its time limit ends it for certain,
because the child is killed; the next job gets a fresh one. A child that has grown too large is replaced between two
jobs, before what one of them has leaked is short for the others.

The children are begun anew, never forked: a fork of a process with threads and connections can deadlock. They get the
parent's `sys.path` and few variables of its environment, so that no secret reaches them by that way, and they die with
their parent (see `runtime.storage.tether`). All that passes between the two is JSON: nothing is unpickled here.

Example:
    >>> pool = ProcessPool(pool_size(4), [mark])                                     # doctest: +SKIP
    >>> returned = await pool.run(mark, claimed, timeout=60.0)                       # doctest: +SKIP
    >>> returned.value, returned.error                                               # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING, Final

import anyio

from runtime.errors import Fault
from runtime.services.ending import end_tasks
from runtime.services.function import Returned, TimedOut
from runtime.services.jobs.load import memory_limit
from runtime.services.jobs.process import Process, ProcessDied

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.plugins import Mark
    from runtime.services.jobs.claiming import Claimed

logger = logging.getLogger("runtime.jobs")

IDLE: Final = 60.0
INHERITED: Final = frozenset(
    {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV"}
)
"""Variables of our environment that a child gets too."""


def pool_size(concurrency: int) -> int:
    """How many children serve a queue: more than there are processors would only take turns."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(concurrency, usable))


class ProcessPool:
    """Child processes that run the jobs of one queue.

    Args:
        size: at most so many at once; further jobs wait for one. See `pool_size`.
        marks: tasks that a child imports at its start rather than with the first job of each.
        idle: seconds after which a child without work ends.
        memory: bytes of data that a child may have; above it, it meets `MemoryError`. None for no limit of ours.
        growth: bytes by which a child may be larger after a job than it was before its first; one that has grown more
            is replaced. Half of `memory`, or of this child's share of the machine's, by default.
        variables: what a child finds in its environment, besides `INHERITED`.
    """

    def __init__(
        self,
        size: int,
        marks: Sequence[Mark] = (),
        *,
        idle: float = IDLE,
        memory: int | None = None,
        growth: int | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._room = anyio.CapacityLimiter(size)
        self._marks = tuple(marks)
        self._idle_limit = idle
        self._memory = memory
        self._growth = growth
        self._machine = memory_limit() or 0
        self._variables = {name: value for name, value in os.environ.items() if name in INHERITED}
        self._variables |= variables or {}
        self._resting: dict[Process, asyncio.TimerHandle] = {}
        self._working: set[Process] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False
        self.ended: dict[str, int] = {"time limit": 0, "cancelled": 0, "died": 0, "grown too large": 0}
        """Children that were lost with their job, or after it, by the reason; for health."""

    @property
    def size(self) -> int:
        return int(self._room.total_tokens)

    @property
    def growth(self) -> int:
        """Bytes by which a child may have grown after a job; 0 for any number."""
        return self._growth or (self._memory or self._machine // self.size) // 2

    @property
    def processes(self) -> list[int]:
        """The ids of the children, those without work first."""
        return [child.pid for child in (*self._resting, *self._working)]

    def resize(self, size: int) -> None:
        """Changes how many children there may be; jobs that run are left to end."""
        self._room.total_tokens = size
        while self._resting and len(self._resting) + len(self._working) > size:
            self._retire(next(iter(self._resting)))

    async def stop(self) -> None:
        """Kills all children, whatever they do."""
        self._closed = True
        await end_tasks(self._starting)
        for child in list(self._resting):
            self._retire(child)
        for child in self._working:
            self._end(child)
        if self._ending:
            await asyncio.wait(self._ending)

    async def run(self, mark: Mark, claimed: Claimed, *, timeout: float) -> Returned:
        """Runs a job in a child.

        Cancelling this call kills the child.

        Args:
            mark: the task; its function is plain and stands at the top of its module.
            claimed: the job; what it says of its progress goes to `claimed.tell`.
            timeout: seconds from the moment at which a child is ready for it.

        Returns:
            The value, as JSON values, or the error: `Retry`, `Reject` and `Fault` as they were raised, `TimedOut`,
            `ProcessDied`, and whatever else it raised as an exception of that name with the child's stack in its notes.
        """
        async with self._room:
            if self._closed:
                return Returned(error=Fault("the worker has been stopped"))
            try:
                child = await self._take()
            except Fault as error:
                return Returned(error=error)
            self._working.add(child)
            lost: str | None = "cancelled"
            try:
                async with asyncio.timeout(timeout) as limit:
                    returned = await child.run(mark, claimed)
                lost = "died" if child.died else None
            except TimeoutError:
                if not limit.expired():
                    raise
                lost = "time limit"
                returned = Returned(error=TimedOut(timeout, left_running=False))
            finally:
                self._working.discard(child)
                self._put_away(child, lost)
            return returned

    async def _take(self) -> Process:
        while self._resting:
            child, timer = self._resting.popitem()  # the one that rested last: its memory is warm
            timer.cancel()
            if child.fit:
                return child
            self._end(child)
        return await self._begin()

    async def _begin(self) -> Process:
        """A child that is ready.

        Raises:
            Fault: a task's module cannot be imported there, or it does not get ready.
        """
        child = Process(self._marks, memory=self._memory, variables=self._variables)
        try:
            await child.start()
        except BaseException:
            self._end(child)
            raise
        return child

    def _put_away(self, child: Process, lost: str | None) -> None:
        """After a job: back to the others where it is as it was, else a spare takes its place."""
        if lost is None and child.fit and not self._closed:
            grown = child.growth()
            if not 0 < self.growth < grown:
                self._rest(child)
                return
            lost = "grown too large"
            logger.warning(
                "%s: a process is %d MB larger than it was before its first job, and is replaced: does the task leak?",
                ", ".join(mark.name for mark in self._marks),
                grown // 1_000_000,
            )
        self._end(child)
        if lost is not None:
            self.ended[lost] += 1
        if not self._closed:
            spare = asyncio.get_running_loop().create_task(self._spare(), name="spare process")
            self._starting.add(spare)
            spare.add_done_callback(self._starting.discard)

    async def _spare(self) -> None:
        if len(self._resting) + len(self._working) + len(self._starting) > self.size:
            return
        with contextlib.suppress(Fault, ProcessDied):  # the job that needs one will be told
            self._rest(await self._begin())

    def _rest(self, child: Process) -> None:
        loop = asyncio.get_running_loop()
        self._resting[child] = loop.call_later(self._idle_limit, self._retire, child)
        if len(self.processes) > self.size:  # it has been made smaller
            self._retire(child)

    def _retire(self, child: Process) -> None:
        if (timer := self._resting.pop(child, None)) is not None:
            timer.cancel()
            self._end(child)

    def _end(self, child: Process) -> None:
        child.kill()
        ending = asyncio.get_running_loop().create_task(child.ended(), name="end of a process")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
