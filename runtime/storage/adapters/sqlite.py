"""SQLite in a file: one writer at a time, readers never wait, nothing to install."""

from __future__ import annotations

import os
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from runtime.errors import Fault, Unreachable
from runtime.storage.filelock import holding

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    Transaction = Callable[[], AbstractAsyncContextManager[AsyncConnection]]

LOCK_LIMIT = 30.0
BUSY_LIMIT_MS = 5_000
CONNECTIONS = 5
PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = NORMAL",
    "foreign_keys = ON",
    f"busy_timeout = {BUSY_LIMIT_MS}",
)


class Sqlite:
    """A database in a file of mode 0600.

    Args:
        path: made when it is missing, its folder too.
    """

    kind = "sqlite"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.address = f"sqlite:///{path}"

    async def check(self) -> None:
        """Makes the file.

        Raises:
            Fault: the folder cannot be written.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise Fault(
                f"storage.database: cannot write {self._path}: {error.strerror}",
                remedy="Make it writable for this user, or set `storage.database` to another place.",
            ) from error

    def engine(self) -> AsyncEngine:
        from sqlalchemy import URL, event
        from sqlalchemy.ext.asyncio import create_async_engine

        engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(self._path)),  # a path may hold ? and %
            pool_size=CONNECTIONS,
            connect_args={
                "isolation_level": None
            },  # the driver's own idea of transactions stays out of the way
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
        lock = self._path.with_name(f"{self._path.name}.lock")
        try:
            async with holding(lock, LOCK_LIMIT), transaction() as connection:
                yield connection
        except TimeoutError as error:
            raise Fault(
                f"storage.database: another process migrates {self._path}: {error}",
                remedy="Wait until it has ended, and apply again.",
            ) from error

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
