"""What has been spent and is not yet in the database: a file that survives a kill of the process.

Every attempt is written here before its caller hears of its end, and to the database a moment later, many at once.
A process that is killed leaves its file; the next one on the same folder finds it, and writes what it holds. (It is
left to the operating system when the file reaches the disk: a machine that loses its power may lose the last
seconds.)
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Final

import msgspec

from runtime.services.ai.store.attempts import Row
from runtime.storage.filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger("runtime.ai")

_LOCK: Final = ".lock"
_PART: Final = ".jsonl"


class Journal:
    """The file of one instance: parts, of which the last is written to.

    Args:
        folder: where the journals of all instances of this machine are.
        instance: whose it is.
    """

    def __init__(self, folder: Path, instance: str) -> None:
        self._folder = folder
        self._instance = instance
        self._lock = FileLock(folder / f"{instance}{_LOCK}")
        self._number = 0
        self._descriptor: int | None = None
        self._encoder = msgspec.json.Encoder()
        self._buffer = bytearray()

    async def open(self) -> None:
        """Makes the folder and the lock that says that this process lives.

        Raises:
            OSError: it cannot be made.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while not self._held():  # another may take it for left, in the moment between making and locking it
            self._lock.release()
            await asyncio.sleep(0.01)

    def _held(self) -> bool:
        descriptor = self._lock.descriptor if self._lock.try_acquire() else None
        return descriptor is not None and os.fstat(descriptor).st_nlink > 0

    def write(self, row: Row) -> None:
        """Adds a row; it is with the operating system when this returns.

        Raises:
            OSError: the disk is full, or gone.
        """
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self._part(self._number), flags, 0o600)
        self._encoder.encode_into(row, self._buffer)
        self._buffer += b"\n"
        os.write(self._descriptor, self._buffer)

    def turn(self) -> int:
        """Begins a new part; returns the number of the last one, which `forget` takes."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._number += 1
        return self._number - 1

    def forget(self, number: int) -> None:
        """Removes the parts up to this one: what they hold is in the database."""
        for part in self._parts():
            if int(part.name.removesuffix(_PART).rpartition(".")[2]) <= number:
                part.unlink(missing_ok=True)

    def close(self, *, kept: bool) -> None:
        """Ends it.

        Args:
            kept: it holds what is not in the database; another will find it.
        """
        number = self.turn()
        if not kept:
            self.forget(number)
            self._lock.path.unlink(missing_ok=True)
        self._lock.release()

    def _part(self, number: int) -> Path:
        return self._folder / f"{self._instance}.{number}{_PART}"

    def _parts(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self._instance}.*{_PART}"))

    # What others have left

    def left(self) -> Iterator[Left]:
        """The journals of processes that have ended, each with its lock, which whoever takes it gives back."""
        for path in sorted(self._folder.glob(f"*{_LOCK}")):
            instance = path.name.removesuffix(_LOCK)
            lock = FileLock(path)
            if instance != self._instance and lock.try_acquire():
                yield Left(instance, sorted(self._folder.glob(f"{instance}.*{_PART}")), lock)


class Left:
    """A journal that a process has left."""

    def __init__(self, instance: str, parts: list[Path], lock: FileLock) -> None:
        self.instance = instance
        self._parts = parts
        self._lock = lock

    def rows(self) -> list[Row]:
        """What it holds; the last line may have been cut off by the kill."""
        found = []
        for part in self._parts:
            for number, line in enumerate(part.read_bytes().splitlines(), 1):
                try:
                    found.append(msgspec.json.decode(line, type=Row))
                except msgspec.MsgspecError:
                    logger.warning("line %d of %s cannot be read, it is left out", number, part.name)
        return found

    def remove(self) -> None:
        """Removes it: what it held is in the database."""
        for part in self._parts:
            part.unlink(missing_ok=True)
        self._lock.path.unlink(missing_ok=True)
        self._lock.release()

    def leave(self) -> None:
        """Leaves it for another time."""
        self._lock.release()
