"""A lock on a file, held by the operating system: a crash of its holder frees it."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from pathlib import Path

PAUSE = 0.02


class FileLock:
    """An exclusive lock (`flock`). The holder's process id stands in the file, for messages.

    Args:
        path: the lock's file; made with mode 0600, never removed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor: int | None = None

    def try_acquire(self) -> bool:
        """Takes the lock if it is free; returns whether this object holds it now.

        Raises:
            OSError: the file cannot be made.
        """
        if self.descriptor is not None:
            return True
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return False
            raise
        text = f"{os.getpid()}\n".encode()
        os.pwrite(descriptor, text, 0)
        os.ftruncate(descriptor, len(text))
        self.descriptor = descriptor
        return True

    async def acquire(self, limit: float) -> bool:
        """Waits at most `limit` seconds for the lock; returns whether it came."""
        with anyio.move_on_after(limit):
            while not self.try_acquire():  # noqa: ASYNC110 - another process frees it
                await anyio.sleep(PAUSE)
        return self.descriptor is not None

    def release(self) -> None:
        """Gives the lock back; a child process that inherited the descriptor still holds it."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def holder(self) -> int | None:
        """The process id that stands in the file."""
        try:
            return int(self.path.read_text())
        except (OSError, ValueError):
            return None
