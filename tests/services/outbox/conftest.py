"""An outbox over real servers: what the tests of outbox, inbox and billing build on."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from runtime.plugins import Mark, Registry
from runtime.services.ending import end_tasks
from runtime.services.events.adapters.redis import RedisStreams
from runtime.services.events.service import EventBus
from runtime.services.events.spec import EventsSpec, SubscriptionSpec
from runtime.services.events.subscription import Subscription
from runtime.services.jobs.adapters.saq import SaqBackend
from runtime.services.jobs.service import JobQueues
from runtime.services.jobs.spec import QueueSpec
from runtime.services.jobs.worker import QueueWorker
from runtime.services.outbox.service import Outbox
from runtime.storage.database import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from runtime.storage.wire import WiredRedis

STREAM: dict[str, Any] = {"s": {"events": {"a.b": {}, "c.d": {}}}}


class Place:
    """One instance: a database, queues, streams and an outbox between them.

    Args:
        client: of the Redis.
        url: of the database.
        tasks: function by queue; each queue is served by a task of its own name.
    """

    def __init__(
        self,
        client: WiredRedis,
        url: str,
        folder: Path,
        tasks: dict[str, Callable[..., Any]],
        streams: dict[str, Any],
    ) -> None:
        self.client = client
        self.database = Database(url, folder, "test", root=folder)
        self.specs = {name: QueueSpec.model_validate({"handler": name}) for name in tasks}
        marks = [Mark("task", name, function) for name, function in tasks.items()]
        self.jobs = JobQueues(self.specs, Registry(marks), SaqBackend(client, "rt:test:", instance=""))
        spec = EventsSpec.model_validate(
            {"streams": streams, "subscriptions": {"sub": {"stream": "s", "handler": "h"}}}
        )
        self.streams = RedisStreams(client, "rt:test:", source="test", instance="")
        self.events = EventBus(spec, self.streams)
        self.outbox = Outbox(self.database, self.jobs, self.events, check=self.jobs.check)
        self._ends = AsyncExitStack()

    async def start(self) -> None:
        await self.database.start()
        self._ends.push_async_callback(self.database.stop)
        await self.outbox.start()
        self._ends.push_async_callback(self.outbox.stop)

    async def relay(self) -> None:
        """Lets the outbox deliver from now on."""
        task = asyncio.create_task(self.outbox.watch())
        self._ends.push_async_callback(end_tasks, [task])

    async def work(self, queue: str) -> None:
        worker = QueueWorker(queue, self.specs[queue], self.jobs, self.events, transactions=self.outbox)
        await worker.start()
        self._ends.push_async_callback(worker.stop)

    async def subscribe(
        self, name: str, function: Callable[..., Any], *, once: bool = True, reclaim: float = 15.0, **section: Any
    ) -> Subscription:
        retry = {"attempts": 3, "backoff": "10ms", "jitter": False}
        spec = SubscriptionSpec.model_validate(
            {"stream": "s", "handler": "h", "from": "beginning", "retry": retry, **section}
        )
        mark = Mark("subscriber", "h", function, once=once)
        made = Subscription(name, spec, mark, self.events, inbox=self.outbox, reclaim=reclaim)
        await made.start()
        self._ends.push_async_callback(made.stop)
        return made

    async def sql(self, statement: str, **parameters: Any) -> list[Any]:
        """The rows of a query, or nothing of a change."""
        async with self.database.transaction() as connection:
            found = await connection.execute(text(statement), parameters)
            return list(found) if found.returns_rows else []

    async def published(self, stream: str = "s") -> list[Any]:
        return await self.events.read(stream, limit=100_000)

    async def close(self) -> None:
        await self._ends.aclose()
        await self.events.stop()


async def until(condition: Callable[[], Any], timeout: float = 15.0) -> Any:
    """Waits for something that is going to happen."""
    async with asyncio.timeout(timeout):
        while not (found := await condition()):
            await asyncio.sleep(0.01)
        return found


@pytest.fixture
async def place(client: WiredRedis, url: str, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Makes instances that share a database and a Redis; a queue `q` takes any payload unless told otherwise."""
    made: list[Place] = []

    async def nothing(job: Any, payload: dict[str, Any]) -> None: ...

    async def build(
        *,
        over: WiredRedis | None = None,
        tasks: dict[str, Any] | None = None,
        streams: dict[str, Any] | None = None,
    ) -> Place:
        one = Place(over or client, url, tmp_path, {"q": nothing, **(tasks or {})}, streams or STREAM)
        made.append(one)
        await one.start()
        return one

    yield build
    for one in reversed(made):
        await one.close()
