"""Connections for commands that wait at the server, apart from those that everybody shares."""

from __future__ import annotations

from runtime.storage.wire import WiredRedis

Client = WiredRedis

PATIENCE = 5.0
"""Seconds beyond its own limit that a waiting command may take until its connection counts as dead."""


def blocking_client(shared: Client, wait: float) -> Client:
    """A client of the same server with a connection of its own.

    A command that waits holds up everything sent after it. A broken command is not repeated by the client: whoever
    waits must first see what it has already taken.

    Args:
        shared: the client to take address and password from.
        wait: the longest that a command will wait, in seconds.
    """
    return WiredRedis(shared.connection_pool, limit=wait + PATIENCE, patience=None, outage=shared.wire.outage)
