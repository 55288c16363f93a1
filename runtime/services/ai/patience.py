"""A time limit for something that is waited for again and again, such as the chunks of a stream.

`asyncio.timeout` sets up a timer and takes it down at each wait, which costs more than all else that is done for a
chunk. Here one timer stands as long as anything is waited for, and looks when it fires whether the wait is the same.
"""

from __future__ import annotations

import asyncio


class Patience:
    """Ends a wait that takes too long. For one task, and one wait at a time; `close` it.

    Args:
        seconds: that a wait may take.

    Raises at the end of the block:
        TimeoutError: it took longer.

    Example:
        >>> with Patience(30.0) as patient:                                                     # doctest: +SKIP
        ...     await reader.read()
    """

    __slots__ = ("_late", "_loop", "_seconds", "_since", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._late = False

    def __enter__(self) -> Patience:
        self._since = self._loop.time()
        if self._timer is None:
            self._task = asyncio.current_task()
            self._timer = self._loop.call_at(self._since + self._seconds, self._look)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._since = None
        if self._late and self._task is not None:
            self._late = False
            if self._task.uncancel() == 0 and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def _look(self) -> None:
        self._timer = None
        if self._since is None:
            return  # nothing is waited for; the next wait sets up another
        ends = self._since + self._seconds
        if ends > self._loop.time():
            self._timer = self._loop.call_at(ends, self._look)
        elif self._task is not None:
            self._late = True
            self._task.cancel()

    def end(self) -> None:
        """Ends the wait that is under way as if its time were over; the others stay as they are."""
        if self._since is not None and self._task is not None and not self._late:
            self._late = True
            self._task.cancel()

    def close(self) -> None:
        """Takes the timer down."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
