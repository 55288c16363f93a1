"""An open transaction, as a handler sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.services.outbox import store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import CursorResult, Executable
    from sqlalchemy.ext.asyncio import AsyncConnection

    from runtime.services.outbox.ports import Outbox


class OpenTransaction:
    """Implements `Transaction`.

    Args:
        connection: in a transaction, which whoever made this ends.
        outbox: where jobs and events are written.
    """

    def __init__(self, connection: AsyncConnection, outbox: Outbox) -> None:
        self.connection = connection
        self._outbox = outbox

    async def execute(
        self,
        statement: str | Executable,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> CursorResult[Any]:
        return await store.run(self.connection, statement, parameters)

    async def enqueue(
        self, queue: str, payload: Mapping[str, Any], *, delay: str | float | None = None, once: str | None = None
    ) -> None:
        await self._outbox.enqueue(self.connection, queue, payload, delay=delay, once=once)

    async def publish(
        self,
        stream: str,
        type: str,  # noqa: A002 - the envelope's word
        data: Mapping[str, Any],
        *,
        key: str | None = None,
        id: str | None = None,  # noqa: A002 - the envelope's word
    ) -> str:
        return await self._outbox.publish(self.connection, stream, type, data, key=key, id=id)
