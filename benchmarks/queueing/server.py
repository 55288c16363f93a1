"""The Valkey server under all systems: the embedded one's binary, with and without its append-only file."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import redis

from runtime.storage import tether
from runtime.storage.valkey import binary

if TYPE_CHECKING:
    from types import TracebackType

STARTING = 20.0
OWN_COMMANDS = frozenset({"info", "ping", "hello", "client|setinfo", "client|list", "config|resetstat", "flushall"})


class Work(NamedTuple):
    """What a server has done since it started.

    Args:
        cpu: seconds, of user and system.
        reads: how often it read from a connection, which is what a round trip costs it.
        commands: those that clients sent; those inside scripts too.
    """

    cpu: float
    reads: int
    commands: int


class Server:
    """A server in a folder of its own, which can be killed and brought back.

    Args:
        append_only: whether it keeps the append-only file. It writes before it answers and leaves the time of `fsync`
            to the system, as the embedded one does: a killed server has lost nothing that it acknowledged.
    """

    def __init__(self, *, append_only: bool) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="runtime-bench-")
        self._append_only = append_only
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.admin: Any = redis.Redis(port=self.port)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.kill()
        self.admin.close()
        self._folder.cleanup()

    def start(self) -> None:
        """Returns when it answers with its data loaded.

        Raises:
            RuntimeError: it does not.
        """
        settings = {
            "port": self.port, "bind": "127.0.0.1", "dir": self._folder.name, "save": "", "loglevel": "warning",
            "appendonly": "yes" if self._append_only else "no", "appendfsync": "no",
        }  # fmt: skip
        flags = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
        with Path(self._folder.name, "log").open("ab") as log:
            command = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), str(binary()), *flags]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + STARTING
        while not self._answers():
            if time.monotonic() > deadline:
                raise RuntimeError(f"Valkey did not start: {Path(self._folder.name, 'log').read_text()}")
            time.sleep(0.002)

    def kill(self) -> None:
        """Ends it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def empty(self) -> None:
        self.admin.flushall()

    def work(self) -> Work:
        known = self.admin.info("everything")
        calls = {name[8:]: figures["calls"] for name, figures in known.items() if name.startswith("cmdstat_")}
        return Work(
            known["used_cpu_user"] + known["used_cpu_sys"],
            known["total_reads_processed"],
            sum(count for name, count in calls.items() if name not in OWN_COMMANDS),
        )

    def connections(self) -> int:
        """Connections of others."""
        return len(self.admin.client_list()) - 1

    def _answers(self) -> bool:
        try:
            return bool(self.admin.ping())
        except redis.RedisError:
            return False
