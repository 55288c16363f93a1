"""A subscription in a process of its own, to be killed: counts its events in a file."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from runtime.plugins import Mark
from runtime.services.events.adapters.redis import RedisStreams
from runtime.services.events.service import EventBus
from runtime.services.events.spec import EventsSpec, SubscriptionSpec
from runtime.services.events.subscription import Subscription
from tests.wired import wired


async def main(socket: str, counted: Path, instance: str) -> None:
    async def count(event: Any) -> None:
        await asyncio.sleep(0.005)
        with counted.open("a") as file:
            file.write(f"{event.data['n']}\n")

    client = wired(socket)
    streams = RedisStreams(client, "rt:test:", instance=instance)
    events = EventBus(EventsSpec.model_validate({"streams": {"s": {"events": {"a.b": {}}}}}), streams)
    spec = SubscriptionSpec.model_validate({"stream": "s", "handler": "h", "from": "beginning", "concurrency": 4})
    subscription = Subscription("sub", spec, Mark("subscriber", "h", count), events, reclaim=1.0)
    await subscription.start()
    await subscription.watch()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
