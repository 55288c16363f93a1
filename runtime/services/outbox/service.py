"""The outbox: jobs and events that go out if and only if the transaction commits that they were written in.

They are rows of the caller's own transaction (the pattern "transactional outbox": Chris Richardson, Microservices
Patterns, 3.2.7). `runtime.services.outbox.relay` delivers them afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import anyio

from runtime.errors import Invalid
from runtime.health import Health
from runtime.services.events.ports import NewEvent
from runtime.services.jobs.ports import Draft
from runtime.services.names import seconds, time_ordered
from runtime.services.outbox import store
from runtime.services.outbox.ports import Undelivered
from runtime.services.outbox.relay import Relay
from runtime.services.outbox.transaction import OpenTransaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from runtime.services.events.ports import Events
    from runtime.services.jobs.ports import Jobs
    from runtime.storage.database import Database

logger = logging.getLogger("runtime.outbox")

LATE: Final = 60.0
"""Seconds after which an entry that still waits is worth a look."""
PRUNE: Final = 600.0
"""Seconds between two prunings of the inbox."""
PROBE_LIMIT: Final = 0.8


class Outbox:
    """Implements the ports `Outbox` and `Inbox`.

    Args:
        database: where entries are kept.
        jobs: where jobs go.
        events: where events go.
        check: refuses a job that a queue would refuse.
        mask: hides secrets in what is kept of an error.
    """

    def __init__(
        self,
        database: Database,
        jobs: Jobs,
        events: Events,
        *,
        check: Callable[[str, Draft], None],
        mask: Callable[[str], str] = str,
    ) -> None:
        self._database = database
        self._events = events
        self._check = check
        self._relay = Relay(database, jobs, events, mask)
        self._deaf: Callable[[], None] | None = None

    # As a component

    async def start(self) -> None:
        if self._deaf is None:
            self._deaf = store.on_written(self._database.engine, self._relay.wake)

    async def watch(self) -> None:
        """Delivers until it is cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._relay.run)
            tasks.start_soon(self._prune)

    async def stop(self) -> None:
        deaf, self._deaf = self._deaf, None
        if deaf is not None:
            deaf()

    async def health(self) -> Health:
        try:
            with anyio.fail_after(PROBE_LIMIT):
                async with self._database.reading() as connection:
                    waiting, dead, oldest = await store.figures(connection)
        except store.AWAY as error:
            return Health("degraded", f"the database does not answer ({type(error).__name__})")
        age = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0
        details = {
            "waiting": waiting,
            "dead": dead,
            "oldest_seconds": round(max(0.0, age), 3),
            "delivered": self._relay.delivered,
        }
        if self._relay.away:
            return Health("degraded", f"what is committed waits: {self._relay.away}", details)
        if dead:
            return Health("degraded", f"{dead} could not be delivered, see GET /v1/outbox/dead", details)
        if age > LATE:
            return Health("degraded", f"the oldest entry waits for {age:.0f} s", details)
        return Health(details=details)

    async def _prune(self) -> None:
        while True:
            try:
                async with self._database.transaction() as connection:
                    if gone := await store.forget(connection):
                        logger.debug("%d handled events forgotten", gone)
            except store.AWAY as error:
                logger.warning("the inbox could not be pruned: %s", type(error).__name__)
            await asyncio.sleep(PRUNE)

    # What is written

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[OpenTransaction]:
        async with self._database.transaction() as connection:
            yield OpenTransaction(connection, self)

    @asynccontextmanager
    async def once(self, subscription: str, event: str, keep: float) -> AsyncIterator[OpenTransaction | None]:
        async with self._database.transaction() as connection:
            new = await store.take(connection, subscription, event, keep)
            yield OpenTransaction(connection, self) if new else None

    async def handled(self, subscription: str, event: str) -> bool:
        async with self._database.reading() as connection:
            return await store.taken(connection, subscription, event)

    async def note(self, subscription: str, event: str, keep: float) -> None:
        async with self._database.transaction() as connection:
            await store.take(connection, subscription, event, keep)

    async def enqueue(
        self,
        connection: AsyncConnection,
        queue: str,
        payload: Mapping[str, Any],
        *,
        delay: str | float | None = None,
        once: str | None = None,
    ) -> None:
        self._check(queue, Draft(payload, delay=delay, once=once))
        wanted = seconds(delay) if isinstance(delay, str) else delay
        name = time_ordered()
        body = {"payload": payload, "due": time.time() + wanted if wanted else None, "once": once}
        await store.write(connection, name, f"jobs:{queue}", body)

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
        event = self._events.check(stream, NewEvent(type, data, key, id))
        body = {"type": type, "data": data, "key": key, "id": event.id}
        await store.write(connection, time_ordered(), f"events:{stream}", body)
        return event.id

    # What could not be delivered

    async def dead(self, *, after: int = 0, limit: int = 100) -> list[Undelivered]:
        async with self._database.reading() as connection:
            entries = await store.buried(connection, after, limit)
        return [Undelivered(entry.id, entry.lane, entry.body, entry.error or "", entry.created_at) for entry in entries]

    async def replay(self, ids: Sequence[int] | None = None) -> int:
        if ids is not None and not all(0 < id_ < 2**63 for id_ in ids):
            raise Invalid("the id of an entry is a positive number")
        async with self._database.transaction() as connection:
            count = await store.revive(connection, ids)
        self._relay.wake()
        return count
