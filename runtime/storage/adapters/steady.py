"""A connection to SQLite whose single calls are not cut off."""

from __future__ import annotations

from typing import Any

import aiosqlite
import anyio


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

    async def close(self) -> None:
        with anyio.CancelScope(shield=True):
            await super().close()
