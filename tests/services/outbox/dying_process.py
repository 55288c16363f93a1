"""An instance in a process of its own that dies by SIGKILL at a chosen moment.

Arguments: the socket of Redis, the database, the state folder, and the moment: `committed` (before anything has been
delivered), `delivered` (before the outbox knows it), `handled` (before the stream knows it), or `any` (when it is
killed from outside).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from runtime.services.events.adapters.redis_seat import RedisSeat
from runtime.services.outbox import store
from tests.services.outbox.conftest import STREAM, Place
from tests.wired import wired


async def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def handle(event: Any, tx: Any) -> None:
    await tx.execute("INSERT INTO effects VALUES (:number)", event.data)


async def write(at: Place) -> None:
    async with at.outbox.transaction() as tx:
        number = (await tx.execute("SELECT coalesce(max(number), 0) + 1 FROM written")).scalar_one()
        await tx.execute("INSERT INTO written VALUES (:number)", {"number": number})
        await tx.publish("s", "a.b", {"number": number})


async def main(socket: str, url: str, folder: Path, moment: str) -> None:
    client = wired(socket)
    at = Place(client, url, folder, {}, STREAM)
    await at.start()
    if moment == "committed":
        await write(at)
        await die()
    if moment == "delivered":
        store.remove = die
    if moment == "handled":
        take = RedisSeat.take

        async def die_before_it_is_acknowledged(seat: Any, token: int, done: Any, count: int, **more: Any) -> Any:
            return await (die() if done else take(seat, token, done, count, **more))

        RedisSeat.take = die_before_it_is_acknowledged  # type: ignore[method-assign, assignment]
        RedisSeat.acknowledge = die  # type: ignore[method-assign]
    if moment != "delivered":  # it would handle the event before it dies, or not
        await at.subscribe("sub", handle, reclaim=0.5)
    await at.relay()
    for _ in range(1 if moment != "any" else 1_000):
        await write(at)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]))
