"""A small event bus: what the tests of events build on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from runtime.plugins import Mark
from runtime.services.events.adapters.redis import RedisStreams
from runtime.services.events.service import EventBus
from runtime.services.events.spec import EventsSpec, SubscriptionSpec
from runtime.services.events.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from runtime.storage.wire import WiredRedis


class Bus:
    """A bus over a server, and subscriptions that are stopped at the end.

    Args:
        client: of the server.
        events: the `events` section.
        instance: see `RedisStreams`.
    """

    def __init__(self, client: WiredRedis, events: dict[str, Any], instance: str = "") -> None:
        self.client = client
        self.spec = EventsSpec.model_validate(events)
        self.streams = RedisStreams(client, "rt:test:", source="test", instance=instance)
        self.events = EventBus(self.spec, self.streams)
        self.subscriptions: list[Subscription] = []

    async def subscribe(
        self, name: str, function: Callable[..., Any], *, reclaim: float = 15.0, **section: Any
    ) -> Subscription:
        """Starts a subscription of the stream `s`."""
        spec = SubscriptionSpec.model_validate(
            {
                "stream": "s",
                "handler": "h",
                "from": "beginning",
                "retry": {"attempts": 3, "backoff": "10ms", "jitter": False},
                **section,
            }
        )
        mark = Mark("subscriber", "h", function)
        made = Subscription(name, spec, mark, self.events, reclaim=reclaim)
        await made.start()
        self.subscriptions.append(made)
        return made

    async def dead(self, name: str) -> list[dict[bytes, bytes]]:
        """The dead letters of a subscription."""
        return [fields for _, fields in await self.client.xrange(self.streams.key("s", f"dead:{name}"))]


async def until(condition: Callable[[], Any], timeout: float = 10.0) -> None:
    """Waits for something that is going to happen."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
async def bus(client: WiredRedis) -> AsyncIterator[Callable[..., Bus]]:
    """Makes a `Bus` with the stream `s` and the event types `a.b` and `c.d`."""
    made: list[Bus] = []

    def build(*, over: WiredRedis | None = None, instance: str = "", **section: Any) -> Bus:
        streams: dict[str, Any] = {"s": {"events": {"a.b": {}, "c.d": {}}}}
        made.append(Bus(over or client, {"streams": streams, **section}, instance))
        return made[-1]

    yield build
    for each in made:
        for subscription in each.subscriptions:
            await subscription.stop()
        await each.events.stop()
