"""The ways to call a task: an async function in the event loop, a plain one in a thread, a heavy one in a process.

Each call raises what the task raises, and ends when it is cancelled. In the event loop a cancellation asks; a thread is
interrupted and given up; a process is killed.
"""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any, Protocol

from runtime.errors import Fault
from runtime.services.jobs.processes import ProcessPool, pool_size
from runtime.services.jobs.threads import ThreadPool

if TYPE_CHECKING:
    from runtime.plugins import Mark
    from runtime.services.jobs.claiming import Claimed
    from runtime.services.jobs.context import RunningJob


class Calls(Protocol):
    """A way to call one task.

    `limited` says whether it keeps the time limit itself; otherwise the caller cancels it.
    """

    limited: bool

    async def call(self, job: RunningJob, claimed: Claimed, payload: Any, limit: float) -> Any:
        """What the task returns.

        Raises:
            TimedOut: it took longer than `limit` seconds; where `limited`.
            BaseException: whatever the task raises.
        """
        ...

    def resize(self, size: int) -> None: ...

    def lost(self) -> dict[str, int]:
        """What health shows of calls that did not end well; empty where all did."""
        ...

    async def stop(self) -> None: ...


def calls_of(mark: Mark, size: int, memory: int | None = None) -> Calls:
    """The way in which a task wants to be called, for so many jobs at once.

    Args:
        memory: bytes that a process of it may have.

    Raises:
        Fault: it has no process, so that nothing could hold it to that.
    """
    if mark.process:
        return InProcesses(mark, size, memory)
    if memory is not None:
        raise Fault(
            f'{mark.origin}: the queue limits the memory of "{mark.name}", which has no process of its own',
            remedy=f'Declare it as `@task("{mark.name}", process=True)`, or leave out `memory`.',
        )
    return InLoop(mark) if inspect.iscoroutinefunction(mark.function) else InThreads(mark, size)


class InLoop:
    """Calls an async function where it stands."""

    limited = False

    def __init__(self, mark: Mark) -> None:
        self._function = mark.function

    async def call(self, job: RunningJob, claimed: Claimed, payload: Any, limit: float) -> Any:
        return await self._function(job, payload)

    def resize(self, size: int) -> None:
        """There is no pool."""

    def lost(self) -> dict[str, int]:
        return {}

    async def stop(self) -> None:
        """There is nothing to stop."""


class InThreads:
    """Calls a plain function in threads of its queue's own."""

    limited = True

    def __init__(self, mark: Mark, size: int) -> None:
        self._function = mark.function
        self._threads = ThreadPool(size, name=mark.name)

    async def call(self, job: RunningJob, claimed: Claimed, payload: Any, limit: float) -> Any:
        returned = await self._threads.run(self._function, job, payload, timeout=_finite(limit))
        if returned.error is not None:
            raise returned.error
        return returned.value

    def resize(self, size: int) -> None:
        self._threads.resize(size)

    def lost(self) -> dict[str, int]:
        return {"abandoned_threads": self._threads.abandoned} if self._threads.abandoned else {}

    async def stop(self) -> None:
        self._threads.close()


class InProcesses:
    """Calls a plain function in child processes."""

    limited = True

    def __init__(self, mark: Mark, size: int, memory: int | None) -> None:
        self._mark = mark
        self._processes = ProcessPool(pool_size(size), [mark], memory=memory)

    async def call(self, job: RunningJob, claimed: Claimed, payload: Any, limit: float) -> Any:
        returned = await self._processes.run(self._mark, claimed, timeout=limit)
        if returned.error is not None:
            raise returned.error
        return returned.value

    def resize(self, size: int) -> None:
        self._processes.resize(pool_size(size))

    def lost(self) -> dict[str, int]:
        return {f"processes: {why}": count for why, count in self._processes.ended.items() if count}

    async def stop(self) -> None:
        await self._processes.stop()


def _finite(limit: float) -> float | None:
    return None if math.isinf(limit) else limit
