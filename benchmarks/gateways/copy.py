"""A gateway that does nothing: it copies bytes between a caller and a provider, `python copy.py PORT PROVIDER`.

What it costs is what any gateway on this event loop has to pay.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvloop


class Provider(asyncio.Protocol):
    """The connection to the provider."""

    def __init__(self, caller: Any) -> None:
        self._caller = caller

    def data_received(self, data: bytes) -> None:
        self._caller.write(data)


class Caller(asyncio.Protocol):
    """A caller's connection; each has one of its own to the provider."""

    def __init__(self, provider: int) -> None:
        self._provider = provider
        self._upstream: Any = None
        self._early = b""

    def connection_made(self, transport: Any) -> None:
        self._task = asyncio.create_task(self._connect(transport))

    async def _connect(self, transport: Any) -> None:
        loop = asyncio.get_running_loop()
        self._upstream, _ = await loop.create_connection(lambda: Provider(transport), "127.0.0.1", self._provider)
        self._upstream.write(self._early)

    def data_received(self, data: bytes) -> None:
        if self._upstream is None:
            self._early += data
        else:
            self._upstream.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        if self._upstream is not None:
            self._upstream.close()


async def main(port: int, provider: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Caller(provider), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
