"""Connections for commands that wait at the server, apart from those that everybody shares."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

Client = Redis

PATIENCE = 5.0
"""Seconds beyond its own limit that a waiting command may take until its connection counts as dead."""


def blocking_client(shared: Client, wait: float, connections: int = 1) -> Client:
    """A client of the same server with connections of its own.

    A command that waits occupies its connection; on a shared one it would hold up everything sent after it.
    A broken command is not repeated by the client: whoever waits must first see what it has already taken.

    Args:
        shared: the client to take address and password from.
        wait: the longest that a command will wait, in seconds.
        connections: at most so many.
    """
    pool = shared.connection_pool
    kwargs: dict[str, Any] = {
        **pool.connection_kwargs,
        "socket_timeout": wait + PATIENCE,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": False,
    }
    own = type(pool)(connection_class=pool.connection_class, max_connections=connections, **kwargs)
    return Redis.from_pool(own)
