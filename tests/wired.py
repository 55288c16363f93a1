"""Clients of a test's server as the storage makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.asyncio.connection import UnixDomainSocketConnection

from runtime.storage.connection import connect

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.storage.wire import WiredRedis


def wired(socket: str | Path, *, patience: float = 3.0) -> WiredRedis:
    """A client of the server behind a socket; a command whose connection breaks is sent again for so many seconds."""
    options = {"path": str(socket), "connection_class": UnixDomainSocketConnection}
    return connect(options, connections=32, limit=5.0, patience=patience)
