"""The lock of a state folder: one environment at a time.

The lock is the operating system's (`flock`), so that a crash frees it. What stands in the file only tells who
holds it.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runtime.errors import AlreadyRunning, Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

NAME = "lock"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who runs on a state folder.

    Args:
        pid: the process.
        address: where its API listens, `http://127.0.0.1:8080`; empty until it does.
        started: ISO 8601, UTC.
    """

    pid: int
    address: str = ""
    started: str = ""


class StateLock:
    """Holds a state folder for this process.

    Args:
        folder: made when it is missing, 0700.
        spec: the spec as the user wrote it, for the remedy `runtime down SPEC`.
        clock: tells the time.

    Example:
        >>> with StateLock(Path(".runtime"), spec="spec.yaml") as lock:
        ...     lock.publish("http://127.0.0.1:8080")
    """

    def __init__(
        self, folder: Path, *, spec: str = "SPEC", clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.folder = folder
        self._spec = spec
        self._clock = clock
        self._descriptor: int | None = None
        self._holder = Holder(0)

    def __enter__(self) -> StateLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Takes the folder.

        Raises:
            AlreadyRunning: another process has it, with its pid and since when.
            Fault: the folder cannot be made or written.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Fault(
                f"cannot use the state folder {self.folder}: {error.strerror}",
                remedy="Make it writable for this user, or set `storage.path` to another folder.",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _parse(descriptor)
            os.close(descriptor)
            raise self._taken(holder) from None
        except OSError as error:
            os.close(descriptor)
            raise Fault(
                f"cannot lock the state folder {self.folder}: {error.strerror}",
                remedy="Set `storage.path` to a folder on a local disk.",
            ) from error
        self._descriptor = descriptor
        self._holder = Holder(os.getpid(), started=self._clock().isoformat(timespec="seconds"))
        self._write()

    def publish(self, address: str) -> None:
        """Tells others where the API of this process listens."""
        self._holder = Holder(self._holder.pid, address, self._holder.started)
        self._write()

    def release(self) -> None:
        """Gives the folder back; again does nothing."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self) -> None:
        if self._descriptor is not None:
            text = json.dumps(asdict(self._holder)).encode()
            os.pwrite(self._descriptor, text, 0)
            os.ftruncate(self._descriptor, len(text))

    def _taken(self, holder: Holder | None) -> AlreadyRunning:
        who = f"process {holder.pid}, since {holder.started}" if holder else "another process"
        return AlreadyRunning(
            f"an environment already runs on {self.folder} ({who})",
            remedy=f"Stop it with `runtime down {self._spec}`.",
        )


def running(folder: Path) -> Holder | None:
    """Who holds a state folder now; `None` where nobody does, even if a crash left a file behind.

    Example:
        >>> running(Path(".runtime"))
        Holder(pid=4711, address='http://127.0.0.1:8080', started='2025-01-01T12:00:00+00:00')
    """
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _parse(descriptor) or Holder(0)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


def _parse(descriptor: int) -> Holder | None:
    try:
        data = json.loads(os.pread(descriptor, 4096, 0))
        return Holder(int(data["pid"]), str(data["address"]), str(data["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
