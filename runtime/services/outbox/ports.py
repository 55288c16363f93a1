"""What other services and the user's own code may use of the outbox and the inbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sqlalchemy import CursorResult, Executable
    from sqlalchemy.ext.asyncio import AsyncConnection


class Transaction(Protocol):
    """A transaction of the environment's database, whose jobs and events go out if and only if it commits.

    It commits at the end of its block and is rolled back by an exception. Keep it short: on SQLite nobody else writes
    meanwhile.

    Example:
        >>> async with job.transaction() as tx:                                            # doctest: +SKIP
        ...     await tx.execute("UPDATE orders SET paid = true WHERE id = :id", {"id": 7})
        ...     await tx.enqueue("email", {"to": ["ada@example.com"], "subject": "Paid", "text": "Thank you."})
        ...     await tx.publish("orders", "order.paid", {"order": 7})
    """

    @property
    def connection(self) -> AsyncConnection:
        """SQLAlchemy's connection, for all that `execute` does not do; do not commit it."""
        ...

    async def execute(
        self,
        statement: str | Executable,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> CursorResult[Any]:
        """Runs SQL: a statement of SQLAlchemy's, or text with `:name` where a parameter goes."""
        ...

    async def enqueue(
        self, queue: str, payload: Mapping[str, Any], *, delay: str | float | None = None, once: str | None = None
    ) -> None:
        """Puts a job into a queue, with the commit; the words and the refusals are those of `Jobs.enqueue`.

        There is no `key`: whether an unfinished job has it could be told only after the commit.
        """
        ...

    async def publish(
        self,
        stream: str,
        type: str,  # noqa: A002 - the envelope's word
        data: Mapping[str, Any],
        *,
        key: str | None = None,
        id: str | None = None,  # noqa: A002 - the envelope's word
    ) -> str:
        """Publishes an event, with the commit; the words and the refusals are those of `Events.publish`.

        Returns:
            The event's id.
        """
        ...


class Transactions(Protocol):
    """Where transactions begin."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A new transaction.

        Raises:
            Unreachable: the database does not answer.
        """
        ...


class Inbox(Protocol):
    """Remembers which events a subscription has handled."""

    def once(self, subscription: str, event: str, keep: float) -> AbstractAsyncContextManager[Transaction | None]:
        """A transaction for what an event has as its effects, which notes it as handled; None where it has been.

        Args:
            subscription: its name.
            event: the event's id.
            keep: seconds for which the id is remembered.

        Raises:
            Unreachable: the database does not answer.
        """
        ...

    async def handled(self, subscription: str, event: str) -> bool:
        """Whether an event is noted as handled."""
        ...

    async def note(self, subscription: str, event: str, keep: float) -> None:
        """Notes an event as handled; the words are those of `once`."""
        ...


@dataclass(frozen=True, slots=True)
class Undelivered:
    """An entry that could not be delivered and has been put aside.

    Args:
        id: where it stands in the outbox.
        to: where it was to go: `jobs:email`, `events:billing`.
        content: the job or the event.
        error: what was said of it.
        created_at: when it was written, UTC.
    """

    id: int
    to: str
    content: dict[str, Any]
    error: str
    created_at: datetime


class Outbox(Transactions, Protocol):
    """Jobs and events that are delivered if and only if the transaction commits that they were written in."""

    async def enqueue(
        self,
        connection: AsyncConnection,
        queue: str,
        payload: Mapping[str, Any],
        *,
        delay: str | float | None = None,
        once: str | None = None,
    ) -> None:
        """`Transaction.enqueue`, in a transaction of the caller's own."""
        ...

    async def publish(
        self,
        connection: AsyncConnection,
        stream: str,
        type: str,  # noqa: A002 - the envelope's word
        data: Mapping[str, Any],
        *,
        key: str | None = None,
        id: str | None = None,  # noqa: A002 - the envelope's word
    ) -> str:
        """`Transaction.publish`, in a transaction of the caller's own."""
        ...

    async def dead(self, *, after: int = 0, limit: int = 100) -> list[Undelivered]:
        """Entries that have been put aside, oldest first, after the one of that id."""
        ...

    async def replay(self, ids: Sequence[int] | None = None) -> int:
        """Delivers entries that have been put aside again.

        Args:
            ids: which; all, where none is named.

        Returns:
            How many there are.
        """
        ...
