"""SQLite in a file: one writer at a time, readers never wait, nothing to install."""

from __future__ import annotations

import os
import sqlite3
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import anyio

from runtime.errors import Fault, Unreachable
from runtime.storage.filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    Transaction = Callable[[], AbstractAsyncContextManager[AsyncConnection]]

LOCK_LIMIT = 30.0
BUSY_LIMIT = 5.0
CONNECTIONS = 5
PRAGMAS = (f"busy_timeout = {BUSY_LIMIT * 1000:.0f}", "synchronous = NORMAL", "foreign_keys = ON")


class Sqlite:
    """A database in a file of mode 0600.

    Args:
        path: made when it is missing, its folder too.
    """

    kind = "sqlite"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.address = self.url = f"sqlite:///{path}"

    async def check(self) -> None:
        """Makes the file, and lets readers and the writer not wait for each other (write-ahead log).

        Raises:
            Fault: the file cannot be written, or is no database.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            async with self._locked():
                await anyio.to_thread.run_sync(self._prepare)
        except sqlite3.Error as error:
            raise self.explained(error) from error
        except OSError as error:
            raise Fault(
                f"storage.database: cannot write {self._path}: {error.strerror}",
                remedy="Make it writable for this user, or set `storage.database` to another place.",
            ) from error

    def _prepare(self) -> None:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(self._path, timeout=BUSY_LIMIT)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")  # of the file, not of the connection

    def engine(self, url: Callable[[], str], refused: Callable[[], None] | None = None) -> AsyncEngine:
        """A file has no password that could change."""
        from sqlalchemy import event
        from sqlalchemy.ext.asyncio import create_async_engine

        from runtime.storage.adapters.steady import SteadyConnection

        def connection() -> SteadyConnection:
            # No transactions of the driver's own; each connection's thread must not keep the process alive.
            made = SteadyConnection(lambda: sqlite3.connect(self._path, isolation_level=None), iter_chunk_size=64)
            made._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy does for its own
            return made

        engine = create_async_engine(
            "sqlite+aiosqlite:///file", async_creator=connection, pool_size=CONNECTIONS, hide_parameters=True
        )

        @event.listens_for(engine.sync_engine, "connect")
        def prepare(connection: Any, record: object) -> None:
            cursor = connection.cursor()
            for pragma in PRAGMAS:
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        @event.listens_for(engine.sync_engine, "begin")
        def begin(connection: Connection) -> None:
            # A transaction that reads and then writes would fail, not wait, if another wrote in between.
            writes = connection.get_execution_options().get("writes", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    @asynccontextmanager
    async def alone(self, transaction: Transaction) -> AsyncIterator[AsyncConnection]:
        """A transaction during which no other process migrates."""
        async with self._locked(), transaction() as connection:
            yield connection

    @asynccontextmanager
    async def turn(self, transaction: Transaction, work: str, part: str) -> AsyncIterator[bool]:
        """A turn is a lock on a file beside the database: one on the database would keep all others from writing."""
        lock = FileLock(self._path.with_name(f"{self._path.name}.{work}.lock"))
        mine = lock.try_acquire()
        try:
            yield mine
        finally:
            lock.release()

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        lock = FileLock(self._path.with_name(f"{self._path.name}.lock"))
        if not await lock.acquire(LOCK_LIMIT):
            raise Fault(
                f"storage.database: process {lock.holder() or '?'} migrates {self._path}",
                remedy="Wait until it has ended, and apply again.",
            )
        try:
            yield
        finally:
            lock.release()

    async def facts(self, connection: AsyncConnection) -> dict[str, Any]:
        return {"version": sqlite3.sqlite_version, "size_bytes": self._path.stat().st_size}

    def explained(self, error: Exception) -> Fault:
        """What a failure means for the reader."""
        text = str(getattr(error, "orig", None) or error)
        for sign, message, remedy in (
            (
                "not a database",
                "is no SQLite database",
                "Move the file away, or set another `storage.database`.",
            ),
            ("malformed", "is damaged", "Bring back a copy of it, or move it away to begin empty."),
            ("readonly", "cannot be written", "Make it writable for this user."),
            ("disk is full", "cannot grow: the disk is full", "Make room on that disk."),
            ("locked", "is locked by another process", "End the process that writes to it."),
        ):
            if sign in text:
                return Fault(f"storage.database: {self._path} {message}", remedy=remedy)
        return Unreachable("storage.database", self.address, text)
