"""A connection to SQLite whose single calls are not cut off, and that asks its thread once a statement."""

from __future__ import annotations

from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING, Any

import aiosqlite
import anyio

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from types import TracebackType


class SteadyConnection(aiosqlite.Connection):
    """Ends each call that it began before a cancellation gets through.

    The thread behind it cannot be interrupted, so nothing is lost. A cancelled call would leave SQLAlchemy
    with a connection that it can neither use nor close, and that may hold a lock.
    """

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        with anyio.CancelScope(shield=True):
            return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]

    async def _connect(self) -> aiosqlite.Connection:
        with anyio.CancelScope(shield=True):
            await super()._connect()
        return self

    def cursor(self) -> WholeCursor:  # type: ignore[override]
        return WholeCursor(self)

    async def rollback(self) -> None:
        if self.in_transaction:  # a pool asks for it once more than there is something to roll back
            await super().rollback()

    async def close(self) -> None:
        with anyio.CancelScope(shield=True):
            await super().close()


class WholeCursor:
    """A cursor whose statement is run, read to its end and closed in one turn of the connection's thread.

    The driver's own takes four turns: to make it, to run, to fetch, to close. Each costs more than most statements.
    """

    def __init__(self, connection: SteadyConnection) -> None:
        self._connection = connection
        self._rows: deque[Any] = deque()
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> WholeCursor:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def execute(self, sql: str, parameters: Any = ()) -> WholeCursor:
        await self._run(lambda cursor: cursor.execute(sql, parameters))
        return self

    async def executemany(self, sql: str, parameters: Any) -> WholeCursor:
        await self._run(lambda cursor: cursor.executemany(sql, parameters))
        return self

    async def fetchone(self) -> Any:
        return self._rows.popleft() if self._rows else None

    async def fetchmany(self, size: int | None = None) -> Sequence[Any]:
        return [self._rows.popleft() for _ in range(min(size or self.arraysize, len(self._rows)))]

    async def fetchall(self) -> Sequence[Any]:
        rows, self._rows = self._rows, deque()
        return rows

    async def close(self) -> None:
        self._rows.clear()

    async def _run(self, statement: Callable[[sqlite3.Cursor], Any]) -> None:
        def whole() -> None:
            with closing(self._connection._conn.cursor()) as cursor:  # noqa: SLF001 - of the class above
                statement(cursor)
                self._rows = deque(cursor.fetchall()) if cursor.description is not None else deque()
                self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid

        await self._connection._execute(whole)  # noqa: SLF001
