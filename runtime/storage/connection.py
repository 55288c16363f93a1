"""A connection to Redis or Valkey, wherever the server comes from: pools, patience, health."""

from __future__ import annotations

import random
import time
import weakref
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import anyio

from runtime.errors import Fault
from runtime.health import Health

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime.storage.credentials import Credentials
    from runtime.storage.wire import WiredRedis

CONNECTIONS = 64
PATIENCE = 3.0
COMMAND_LIMIT = 5.0
BROKEN_SIGNS = ("handler is closed", "'writelines'")
"""In what uvloop and redis-py say, instead of a connection error, when a connection breaks under a command."""
PROBE_LIMIT = 0.8
PROBE_PATIENCE = 0.2
"""Seconds for which a look at the health is tried again: an idle connection that was cut says nothing of the server."""
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


class Redis(ABC):
    """A Redis that the environment uses: what `ports["storage.redis"]` holds.

    `start` opens it. The client objects stay the same over restarts of the server and reconnect by themselves: a
    command that meets a broken connection is sent again for up to `PATIENCE` seconds. It may then have run twice, as
    with any client that retries: give writes an id where that matters.
    """

    def __init__(self, refused: Callable[[], None] | None = None) -> None:
        self._refused = refused
        self._client: WiredRedis | None = None
        self._probe: WiredRedis | None = None
        self._dedicated: weakref.WeakSet[WiredRedis] = weakref.WeakSet()

    @property
    @abstractmethod
    def address(self) -> str:
        """Where the server is, without user or password."""

    @abstractmethod
    def _options(self) -> Mapping[str, Any]:
        """How to reach the server: keyword arguments of a redis-py connection, and `connection_class`."""

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def stop(self) -> None: ...

    @property
    def client(self) -> WiredRedis:
        """The client that all share. Answers are bytes. Commands of all callers travel at once, over one connection.

        Not for commands that block: those need `dedicated()`.
        """
        if self._client is None:
            raise Fault("storage.redis: not started", remedy="Declare `storage.redis` as a need.")
        return self._client

    def dedicated(self) -> WiredRedis:
        """A further client with a connection of its own, for reads that block (`XREADGROUP … BLOCK`).

        It waits for an answer as long as the command does. Close it with `aclose()`.
        """
        client = connect(self._options(), connections=1, limit=None, patience=PATIENCE, refused=self._refused)
        self._dedicated.add(client)
        return client

    async def health(self) -> Health:
        """Reached, and what the server says of its memory, clients and append-only file."""
        from redis.exceptions import RedisError

        if self._probe is None:
            return Health("down", "not started")
        try:
            with anyio.fail_after(PROBE_LIMIT):
                info = await self._probe.info()
        except (RedisError, OSError, TimeoutError) as error:
            return Health("down", f"{self.address} does not answer ({type(error).__name__})")
        return _health(info)

    def _open(self) -> None:
        if self._client is None:
            options = self._options()
            self._client = connect(
                options, connections=CONNECTIONS, limit=COMMAND_LIMIT, patience=PATIENCE, refused=self._refused
            )
            self._probe = connect(options, connections=1, limit=PROBE_LIMIT, patience=PROBE_PATIENCE)

    def _use(self, credentials: Credentials | None) -> None:
        """Lets new connections of every client sign in so; those that are open stay."""
        for client in self._clients():
            client.connection_pool.connection_kwargs["credential_provider"] = credentials

    async def _refresh(self) -> None:
        """Closes the connections that nobody uses at the moment; new ones are opened when they are wanted."""
        for client in self._clients():
            client.wire.renew()
            await client.connection_pool.disconnect(inuse_connections=False)

    def _clients(self) -> list[WiredRedis]:
        return [client for client in (self._client, self._probe, *self._dedicated) if client is not None]

    async def _close(self) -> None:
        """Closes the connections; the clients stay usable and would open new ones."""
        for client in self._clients():
            client.wire.close()
            await client.connection_pool.disconnect()


def connect(
    options: Mapping[str, Any],
    *,
    connections: int,
    limit: float | None,
    patience: float,
    refused: Callable[[], None] | None = None,
) -> WiredRedis:
    """A client; it connects when it is used.

    Args:
        options: how to reach the server.
        connections: at most so many for transactions; one waits for a free one.
        limit: seconds that an answer may take; `None` for commands that block.
        patience: seconds for which a command is tried again when the connection breaks.
        refused: called when the server refuses the password. It may have been changed a moment ago, so the command is
            tried again as for a broken connection, with what the options' credential provider says then.
    """
    import redis.asyncio
    from redis.asyncio.connection import Connection
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import AuthenticationError, AuthorizationError
    from redis.exceptions import ConnectionError as Broken
    from redis.exceptions import TimeoutError as TooLate

    from runtime.storage.wire import WiredRedis

    class Patience(Retry):
        """Tries again until a time has passed, not a number of times: redis-py nests its retries."""

        async def call_with_retry(self, do: Any, fail: Any, *args: Any, **kwargs: Any) -> Any:
            deadline = time.monotonic() + patience
            failures = 0

            async def failed(error: Exception, *counted: int) -> None:
                nonlocal failures
                failures += 1
                await fail(error, *counted)
                # On a Unix socket it comes inside of a broken connection.
                if any(isinstance(each, AuthenticationError | AuthorizationError) for each in (error, error.__cause__)):
                    if refused is None:
                        raise error
                    refused()
                if time.monotonic() >= deadline:
                    raise error
                await anyio.sleep(min(0.25, 0.01 * 2.0**failures) * (0.5 + random.random() / 2))  # noqa: S311

            async def attempted() -> Any:
                try:
                    return await do()
                except (RuntimeError, AttributeError) as error:
                    if not any(sign in str(error) for sign in BROKEN_SIGNS):
                        raise
                    raise Broken(str(error)) from error

            return await super().call_with_retry(attempted, failed, *args, **kwargs)

    retry = Patience(NoBackoff(), -1, (Broken, TooLate))
    made = {
        "decode_responses": False,
        "health_check_interval": 30,
        "socket_connect_timeout": COMMAND_LIMIT if limit is None else limit,
        "socket_timeout": limit,
        "retry": retry,
        **options,
    }
    kind = made.get("connection_class", Connection)
    if issubclass(kind, Connection):
        made |= {"socket_keepalive": True, "socket_keepalive_options": _keepalive()}
    pool = redis.asyncio.BlockingConnectionPool(max_connections=connections, timeout=COMMAND_LIMIT, **made)
    client = WiredRedis(pool, limit=limit, patience=retry if patience > 0 else None)
    client.auto_close_connection_pool = True
    return client


def _keepalive() -> dict[int, int]:
    import socket

    return {getattr(socket, name): value for name, value in KEEPALIVE.items() if hasattr(socket, name)}


def _health(info: Mapping[str, Any]) -> Health:
    details = {
        "version": str(info.get("valkey_version") or info.get("redis_version", "")),
        "uptime_seconds": info.get("uptime_in_seconds"),
        "memory_bytes": info.get("used_memory"),
        "memory_limit_bytes": info.get("maxmemory") or None,
        "clients": info.get("connected_clients"),
        "append_only_file": _append_only(info),
    }
    if info.get("loading"):
        return Health("degraded", "it still loads its data", details)
    if details["append_only_file"] == "failing":
        return Health("degraded", "it cannot write its append-only file; is the disk full?", details)
    return Health(details=details)


def _append_only(info: Mapping[str, Any]) -> str:
    if not info.get("aof_enabled"):
        return "off"
    good = info.get("aof_last_write_status") == "ok" and info.get("aof_last_bgrewrite_status") == "ok"
    return "on" if good else "failing"
