"""A worker of a subscription in a process of its own, to be killed, stopped and given wrong clocks.

Writes a line at the begin and the end of each try: `begin|end <key> <n> <pid>`. Lines are appended whole, so that
the file tells the order in which things really happened.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import Any

from runtime.plugins import Mark
from runtime.services.events.adapters.redis import RedisStreams
from runtime.services.events.service import EventBus
from runtime.services.events.spec import EventsSpec, SubscriptionSpec
from runtime.services.events.subscription import Subscription
from tests.wired import wired

LEASE = 1.0


def jump(_: int, __: Any) -> None:
    """Puts the wall clock a year ahead; the monotonic one goes on, as it does on a real machine."""
    real = time.time
    time.time = lambda: real() + 31_536_000


async def main(socket: str, path: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(what: str, event: Any) -> None:
        os.write(file, f"{what} {event.key} {event.data['n']} {os.getpid()}\n".encode())

    async def handle(event: Any) -> None:
        write("begin", event)
        await asyncio.sleep(0.002)
        if event.data.get("poison"):
            raise ValueError("poison")
        write("end", event)

    signal.signal(signal.SIGUSR1, jump)
    client = wired(socket, patience=2.0)
    events = EventBus(
        EventsSpec.model_validate({"streams": {"s": {"events": {"a.b": {}}}}}), RedisStreams(client, "rt:test:")
    )
    spec = SubscriptionSpec.model_validate(
        {
            "stream": "s",
            "handler": "h",
            "from": "beginning",
            "concurrency": 4,
            "retry": {"attempts": 2, "backoff": "10ms", "jitter": False},
        }
    )
    subscription = Subscription("sub", spec, Mark("subscriber", "h", handle), events, reclaim=LEASE)
    await subscription.start()
    os.write(file, f"up - - {os.getpid()}\n".encode())
    await subscription.watch()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
