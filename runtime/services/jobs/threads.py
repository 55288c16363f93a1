"""Plain functions run in threads of their queue's own, and a time limit that ends them for the queue.

A thread cannot be killed. When its time is up, the job's outcome is decided at once and its slot is free; the thread
gets an exception (`Interrupted`) at its next step of Python, is never used again, and is counted as abandoned as long
as it lives: one that waits in a library's C code goes on until that returns. A task that must be ended for certain
belongs into a process: see `runtime.services.jobs.processes`.

Example:
    >>> threads = ThreadPool(10)                                                      # doctest: +SKIP
    >>> returned = await threads.run(resize, job, payload, timeout=30.0)              # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import queue
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import anyio

from runtime.errors import Fault
from runtime.services.function import Returned, TimedOut

if TYPE_CHECKING:
    from collections.abc import Callable

GRACE: Final = 0.1
"""Seconds for which one that was interrupted is watched, to say whether it has ended."""
AGAIN: Final = 1.0
"""Seconds after which it is interrupted once more: a `finally` may have swallowed the first."""
IDLE: Final = 60.0
MOST_ABANDONED: Final = 200


class Interrupted(BaseException):
    """Raised in a task's thread when its time is up or its job is cancelled; not caught by `except Exception`."""


class ThreadPool:
    """The threads of one queue.

    Args:
        size: at most so many jobs at once; further ones wait.
        name: begins the threads' names.
        most_abandoned: with so many threads of former jobs still alive no job is begun.
    """

    def __init__(self, size: int, *, name: str = "task", most_abandoned: int = MOST_ABANDONED) -> None:
        self._room = anyio.CapacityLimiter(size)
        self._name = name
        self._most_abandoned = most_abandoned
        self._resting: dict[_Thread, asyncio.TimerHandle] = {}
        self._left: list[_Thread] = []
        self.interrupted = 0
        """Jobs that were ended by their time limit or by a cancellation."""

    @property
    def abandoned(self) -> int:
        """Threads of former jobs that still run, for health."""
        self._left = [thread for thread in self._left if thread.is_alive()]
        return len(self._left)

    def resize(self, size: int) -> None:
        """Changes how many jobs run at once; what runs is left to end."""
        self._room.total_tokens = size

    def close(self) -> None:
        """Ends the threads without work; the others when theirs is done."""
        for thread in list(self._resting):
            self._retire(thread)

    async def run(self, function: Callable[..., Any], *args: Any, timeout: float | None = None) -> Returned:
        """Calls a plain function in a thread; raises nothing but its own cancellation, which interrupts the function.

        The function sees the caller's context variables. Whatever it raises comes back, `SystemExit` included.

        Args:
            timeout: seconds that it may take; None for no limit.
        """
        async with self._room:
            if self.abandoned >= self._most_abandoned:
                return Returned(error=self._full())
            thread = self._take()
            future = thread.begin(function, args)
            try:
                await asyncio.wait({future}, timeout=timeout)
            except asyncio.CancelledError:
                if future.done():  # it came too late: what the function has done counts
                    self._rest(thread)
                    return future.result()
                self._abandon(thread)
                raise
            if future.done():
                self._rest(thread)
                return future.result()
            self._abandon(thread)
            await asyncio.wait({future}, timeout=GRACE)
            return Returned(error=TimedOut(timeout or 0.0, left_running=not future.done()))

    def _take(self) -> _Thread:
        if not self._resting:
            thread = _Thread(self._name, asyncio.get_running_loop())
            thread.start()
            return thread
        thread, timer = self._resting.popitem()
        timer.cancel()
        return thread

    def _rest(self, thread: _Thread) -> None:
        self._resting[thread] = asyncio.get_running_loop().call_later(IDLE, self._retire, thread)
        if len(self._resting) > self._room.total_tokens:
            self._retire(thread)

    def _retire(self, thread: _Thread) -> None:
        if (timer := self._resting.pop(thread, None)) is not None:
            timer.cancel()
            thread.leave()

    def _abandon(self, thread: _Thread) -> None:
        self.interrupted += 1
        thread.leave()
        thread.interrupt()
        asyncio.get_running_loop().call_later(AGAIN, thread.interrupt)
        self._left.append(thread)

    def _full(self) -> Fault:
        return Fault(
            f"{self._most_abandoned} threads of former jobs still run, although their time was up",
            remedy="Give the library that they wait for a time limit, or run the task with `process=True`.",
        )


class _Order(NamedTuple):
    call: Callable[[], Any]
    future: asyncio.Future[Returned]


class _Thread(threading.Thread):
    """A thread that calls one function after the other, until `leave`.

    A daemon: one without an end must not keep the process from ending.
    """

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(name=name, daemon=True)
        self._loop = loop
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._calling = False
        self._lock = threading.Lock()

    def begin(self, function: Callable[..., Any], args: tuple[Any, ...]) -> asyncio.Future[Returned]:
        context = contextvars.copy_context()
        future: asyncio.Future[Returned] = self._loop.create_future()
        self._calling = True
        self._orders.put(_Order(lambda: context.run(function, *args), future))
        return future

    def leave(self) -> None:
        """Lets it end after what it does now."""
        self._orders.put(None)

    def interrupt(self) -> None:
        """Raises `Interrupted` in the function that it calls; nothing where it calls none."""
        if not self._lock.acquire(blocking=False):
            return  # its function has just ended
        try:
            if self._calling and self.ident is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), ctypes.py_object(Interrupted))
        finally:
            self._lock.release()

    def run(self) -> None:
        try:
            while (order := self._orders.get()) is not None:
                self._settle(order.future, self._call(order.call))
                del order  # or the payload would live as long as this thread rests
        except Interrupted:
            pass  # it arrived after its function: nobody waits for this thread any more
        finally:
            self._calling = False  # its id may soon be another thread's

    def _call(self, call: Callable[[], Any]) -> Returned:
        try:
            returned = Returned(call())
        except BaseException as error:  # noqa: BLE001 - handed on as a value, which is its duty
            returned = Returned(error=error)
        with self._lock:
            self._calling = False
        return returned

    def _settle(self, future: asyncio.Future[Returned], returned: Returned) -> None:
        def settle() -> None:
            if not future.done():
                future.set_result(returned)

        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            self._loop.call_soon_threadsafe(settle)
