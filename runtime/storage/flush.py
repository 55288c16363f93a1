"""Brings what the embedded server has written to the disk once a second.

The server's own way of doing so (`appendfsync everysec`) postpones a write while an earlier flush runs, and answers all
the same: a server killed at that moment loses what it has acknowledged. With `appendfsync no` every write is handed to
the operating system before the answer, which a kill cannot undo; flushing from here bounds what a power cut can cost.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger("runtime.storage")

INTERVAL = 1.0


class Flusher:
    """A thread that flushes the append-only files of a folder, so that a blocked event loop delays nothing.

    Args:
        folder: where the server keeps them.
        interval: seconds between two flushes.
    """

    def __init__(self, folder: Path, *, interval: float = INTERVAL) -> None:
        self._folder = folder
        self._interval = interval
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._flushed: dict[str, int] = {}

    def start(self) -> None:
        self._over.clear()
        self._thread = threading.Thread(target=self._run, name="redis-flush", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; a stop without a start does nothing."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def flush(self) -> int:
        """Flushes every file that has grown since the last time; returns how many."""
        grown = 0
        for path in self._folder.glob("*.aof"):
            try:
                grown += self._flush(path)
            except FileNotFoundError:
                continue  # the server has just replaced it, and has flushed what stands in its place
        return grown

    def _flush(self, path: Path) -> bool:
        size = path.stat().st_size
        if self._flushed.get(path.name) == size:
            return False
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._flushed[path.name] = size
        return True

    def _run(self) -> None:
        while not self._over.wait(self._interval):
            try:
                self.flush()
            except OSError as error:
                logger.error("the embedded server's data could not be flushed to the disk: %s", error.strerror)
