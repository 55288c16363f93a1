"""What keeps a running job within its time and its memory, from outside of the worker that runs it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

LATE: Final = 0.03
"""Seconds after a job's limit in which the worker must have ended it; then the process is killed."""
LOOK: Final = 0.02
"""Seconds between two looks at the memory of a worker that runs a job."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Guard:
    """Looks after one worker process, job after job.

    Args:
        kill: ends the process; gets the cause, `deadline` or `memory`.
    """

    def __init__(self, kill: Callable[[str], None]) -> None:
        self.base = 0
        """Bytes of memory that the process had when it began its job."""
        self.grown = 0
        """Bytes that it was seen to grow by during its last job."""
        self._kill = kill
        self._loop = asyncio.get_running_loop()
        self._statm = Path()
        self._highest = 0
        self._allowed = 0
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def meet(self, pid: int) -> None:
        """Tells whom to look at."""
        self._statm = Path(f"/proc/{pid}/statm")

    def resident(self) -> int:
        """Bytes of memory that the process has now; 0 where the system does not tell."""
        try:
            return int(self._statm.read_bytes().split()[1]) * _PAGE
        except (OSError, IndexError, ValueError):
            return 0

    def begin(self, base: int, allowance: int, timeout: float) -> None:
        """Looks at it from now on until `end`.

        Args:
            base: bytes of memory that it had before the job.
            allowance: bytes that it may grow by.
            timeout: seconds.
        """
        self.base, self._allowed, self.grown = base, allowance, 0
        self._deadline = self._loop.time() + timeout + LATE
        self._watch()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def rested(self, peak: int) -> None:
        """Takes the most memory that the process says it has ever had, between two jobs."""
        self._highest = max(self._highest, peak)

    def answered(self, peak: int) -> None:
        """Takes it at the end of a job, to which what is new in it belongs."""
        if peak > self._highest:
            self._highest = peak
            self.grown = max(self.grown, peak - self.base)

    def _watch(self) -> None:
        now = self._loop.time()
        if now >= self._deadline:
            self._kill("deadline")
            return
        self._timer = self._loop.call_at(min(self._deadline, now + LOOK), self._look)

    def _look(self) -> None:
        self.grown = max(self.grown, self.resident() - self.base)
        if self.grown > self._allowed:
            self._kill("memory")
        else:
            self._watch()
