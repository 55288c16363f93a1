"""One connection to Redis over which the commands of many callers travel at once.

redis-py takes a connection for each command and reads through two layers of buffers and coroutines: some 0.3 ms a
command. Here a command is written at once, behind those that are still under way, and answers are handed out in their
order (Redis Serialization Protocol, "Pipelining"). redis-py still does what it does well: it opens the connection,
with TLS, password and database, and knows the commands.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import time
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoScriptError
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import TimeoutError as TooLate

from runtime.storage.line import Command, Line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio.connection import ConnectionPool


SHORTEST_PAUSE: Final = 0.01
LONGEST_PAUSE: Final = 0.5
"""Seconds between tries to connect."""

HANDSHAKE: Final = 5.0
"""Seconds that the server has to let us in, where commands may take as long as they like."""


class WiredRedis(Redis):
    """redis-py's client, whose commands go over one `Wire`. Transactions (`pipeline`) and `pubsub` use the pool.

    Not for commands that block, unless whoever sends them has a client of their own.

    Args:
        pool: knows how to connect.
        limit: seconds that an answer may take; None for as long as it takes.
        patience: decides how long a command is tried again whose connection breaks; None: it is not.
        outage: what clients of the same server know of it together.
    """

    def __init__(
        self, pool: ConnectionPool, *, limit: float | None, patience: Retry | None, outage: Outage | None = None
    ) -> None:
        super().__init__(connection_pool=pool)
        self.wire = Wire(pool, limit, outage)
        self._patience = patience

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            answer = await self.wire.call(args)
        except (Broken, TooLate):
            if self._patience is None:
                raise
            answer = await self._patience.call_with_retry(lambda: self.wire.call(args), _nothing)
        understood = self.response_callbacks.get(args[0])
        if understood is None:
            return answer
        options.pop("keys", None)
        return understood(answer, **options)

    async def evaluate(self, script: str, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        """Runs a script at the server, which keeps it from its first run on.

        Raises:
            redis.exceptions.ResponseError: the script failed.
        """
        command = evaluation(script, keys, args)
        try:
            return await self.execute_command(*command)
        except NoScriptError:
            await self.execute_command("SCRIPT LOAD", script)
            return await self.execute_command(*command)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        self.wire.close()
        await super().aclose(close_connection_pool)


class Wire:
    """Sends commands; connects when it is used, and again when the connection was lost.

    Args:
        pool: knows how to connect.
        limit: seconds that an answer may take; None for as long as it takes.
        outage: see `WiredRedis`.
    """

    def __init__(self, pool: ConnectionPool, limit: float | None, outage: Outage | None = None) -> None:
        self.outage = outage or Outage()
        self._pool = pool
        self._limit = limit
        self._line: Line | None = None
        self._connecting: asyncio.Task[Line] | None = None

    async def call(self, command: Command) -> Any:
        """Sends a command and waits for its answer. Whoever stops waiting leaves the connection as it was.

        Raises:
            redis.exceptions.ConnectionError: the connection cannot be opened or was lost; the command may have run.
            redis.exceptions.TimeoutError: no answer in time; likewise.
            redis.exceptions.ResponseError: the server refuses the command.
        """
        line = self._line
        if line is None or not line.open:
            line = await self.opened()
        try:
            return await line.send(command)
        except AuthenticationError:
            self.renew()  # the next one signs in anew
            raise

    async def opened(self) -> Line:
        """The open connection; of many callers at once one opens it, and none waits longer than that takes.

        Raises:
            redis.exceptions.RedisError: it cannot be opened.
        """
        if self._line is not None and self._line.open:
            return self._line
        connecting = self._connecting
        if connecting is None or connecting.done():
            connecting = self._connecting = asyncio.create_task(self._connect(), name="connect to Redis")
            connecting.add_done_callback(_looked_at)
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            if connecting.cancelled():
                raise _closed() from None
            raise

    def renew(self) -> None:
        """Commands from now on use a new connection; the present one is closed when its answers have come."""
        line, self._line = self._line, None
        if line is not None:
            line.retire()

    def close(self) -> None:
        """Closes the connection; commands that are under way fail. A later one opens it again."""
        line, self._line = self._line, None
        if line is not None:
            line.abort(_closed())
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()

    async def _connect(self) -> Line:
        patience = HANDSHAKE if self._limit is None else self._limit
        options = {**self._pool.connection_kwargs, "retry": Retry(NoBackoff(), 0), "socket_timeout": patience}
        connection = self._pool.connection_class(**options)
        await asyncio.sleep(self.outage.pause())
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            if self._connecting is not asyncio.current_task():  # the cancellation got lost in redis-py
                raise _closed()
        except BaseException as error:
            await connection.disconnect(nowait=True)  # half open, it would outlive its event loop
            if isinstance(error, Broken | TooLate) and not isinstance(error, AuthenticationError):
                self.outage.noted()
            raise
        self.outage.over()
        self._line = Line(connection, self._limit)
        return self._line


class Outage:
    """That a server cannot be reached, known to all who use it: else each of them would knock at its own pace."""

    def __init__(self) -> None:
        self._until = 0.0
        self._growing = 0.0

    def pause(self) -> float:
        """Seconds until the next try."""
        return max(0.0, self._until - time.monotonic())

    def noted(self) -> None:
        """A connection could not be opened: the pause before the next try grows."""
        self._growing = min(LONGEST_PAUSE, max(SHORTEST_PAUSE, 2 * self._growing))
        self._until = time.monotonic() + self._growing

    def over(self) -> None:
        self._until = self._growing = 0.0


def evaluation(script: str, keys: Sequence[Any], args: Sequence[Any]) -> Command:
    """The command that runs a script which the server knows."""
    return ("EVALSHA", _digest(script), len(keys), *keys, *args)


@functools.cache
def _digest(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


def _closed() -> Broken:
    return Broken("the connection was closed")


async def _nothing(*_: object) -> None:
    """A command that failed leaves nothing to clean up: the next try finds the connection closed."""


def _looked_at(task: asyncio.Task[Line]) -> None:
    """Whoever waited may be gone; its failure is no news then."""
    if not task.cancelled():
        task.exception()
