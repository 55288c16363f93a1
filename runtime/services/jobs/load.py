"""What a worker's process is under: how late its event loop is, how much of its memory it has."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

PERIOD: Final = 0.05
SMOOTHED: Final = 0.2
"""The weight of the newest look; one pause of the garbage collector is no strain yet."""
CGROUP: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
MEMINFO: Final = Path("/proc/meminfo")


class LoopLag:
    """By how much the event loop is late, smoothed: a timer that looks when it is really called.

    Twenty looks a second, some microseconds each. One meter serves all the queues of a loop.

    Args:
        loop: the one that is measured; the running one by default.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._smooth = 0.0

    @property
    def milliseconds(self) -> float:
        """Late by so many, lately. Asked from within a loop that is late right now, that counts too."""
        overdue = self._loop.time() - self._due if self._timer is not None else 0.0
        return max(self._smooth, SMOOTHED * overdue) * 1000

    def start(self) -> None:
        """Begins to look; nothing where it has begun."""
        if self._timer is None:
            self._next()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _next(self) -> None:
        self._due = self._loop.time() + PERIOD
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        late = max(0.0, self._loop.time() - self._due)
        self._smooth += SMOOTHED * (late - self._smooth)
        self._next()


def memory_limit() -> int | None:
    """Bytes of memory that this process may have: of its container, else of the machine; None where nobody says."""
    found = []
    for path in CGROUP:
        with suppress(OSError, ValueError):  # `max`: no limit
            found.append(int(path.read_text()))
    with suppress(OSError, ValueError, IndexError):
        found.append(int(MEMINFO.read_text().split()[1]) * 1024)
    return min(found, default=None)


def memory_used(process: int | None = None) -> int:
    """Bytes of memory that a process has, this one by default; 0 where the system does not say."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{process or 'self'}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def memory_part(limit: int | None) -> float:
    """The part of a limit that this process has, for `scaling.Load`."""
    return memory_used() / limit if limit else 0.0
