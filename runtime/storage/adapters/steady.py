"""A connection to SQLite that goes to its thread once a statement, and whose single calls are not cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiosqlite
import anyio

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable


class SteadyConnection(aiosqlite.Connection):
    """Ends each call that it began before a cancellation gets through.

    The thread behind it cannot be interrupted, so nothing is lost. A cancelled call would leave SQLAlchemy
    with a connection that it can neither use nor close, and that may hold a lock.
    """

    def cursor(self) -> SteadyCursor:  # type: ignore[override]
        return SteadyCursor(self)

    def open(self) -> sqlite3.Cursor:
        """A cursor of the driver's; for the thread."""
        return self._conn.cursor()

    async def call(self, function: Callable[..., None], *args: Any) -> None:
        """Calls it in the thread."""
        await self._execute(function, *args)

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        with anyio.CancelScope(shield=True):
            return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]

    async def _connect(self) -> aiosqlite.Connection:
        with anyio.CancelScope(shield=True):
            await super()._connect()
        return self

    async def close(self) -> None:
        with anyio.CancelScope(shield=True):
            await super().close()


class SteadyCursor(aiosqlite.Cursor):
    """A statement and all its rows in one go: to be made, run, read and closed apart from each other would be four
    turns of the event loop and of the thread, and each takes as long as a short statement itself.
    """

    _cursor: sqlite3.Cursor | None  # type: ignore[assignment]

    def __init__(self, connection: SteadyConnection) -> None:
        super().__init__(connection, None)  # type: ignore[arg-type]
        self._connection = connection
        self._rows: list[Any] = []

    async def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> SteadyCursor:
        await self._connection.call(self._run, "execute", sql, parameters or ())
        return self

    async def executemany(self, sql: str, parameters: Iterable[Iterable[Any]]) -> SteadyCursor:
        await self._connection.call(self._run, "executemany", sql, parameters)
        return self

    def _run(self, how: str, sql: str, parameters: Iterable[Any]) -> None:
        """In the thread. What is read of a cursor afterwards, it also knows when it is closed."""
        cursor = self._cursor = self._connection.open()
        try:
            getattr(cursor, how)(sql, parameters)
            self._rows = cursor.fetchall()
        finally:
            cursor.close()

    async def fetchone(self) -> Any:
        rows = await self.fetchmany(1)
        return rows[0] if rows else None

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        count = size or 1
        found, self._rows = self._rows[:count], self._rows[count:]
        return found

    async def fetchall(self) -> list[Any]:
        found, self._rows = self._rows, []
        return found

    async def close(self) -> None:
        self._rows = []
