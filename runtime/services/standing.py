"""Commands that stand at the server until there is something for them to do.

A command that waits for a sign and those behind it are sent in one go: the server holds the others back while the first
one waits, and runs them in the moment in which the sign comes. That saves the way to the caller and back.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from runtime.services.away import AWAY
from runtime.services.blocking import blocking_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.blocking import Client
    from runtime.storage.line import Command, Line

AGAIN: Final = 0.01
"""Seconds after which commands are called off once more: they may not have reached the server yet."""


class Standing:
    """A connection of its own for commands that stand, one such group at a time.

    Args:
        shared: the client to take address and password from, over which the wait is called off.
        wait: the longest that the first command waits, in seconds.
        name: of what stands, for the names of tasks.
    """

    def __init__(self, shared: Client, wait: float, name: str) -> None:
        self.client = blocking_client(shared, wait)
        """The same connection, for while nothing stands."""
        self._shared = shared
        self._name = name
        self._line: Line | None = None
        self._id: Any = None
        self._waiting: object | None = None
        self._unwanted: object | None = None
        """The wait that is to end."""
        self._calling_off: asyncio.Task[None] | None = None

    async def send(self, *commands: Command, waits: bool = True) -> Sequence[Any]:
        """Sends commands in one go.

        Args:
            waits: whether one of them waits at the server.

        Returns:
            The answer of each; an exception where it failed.

        Raises:
            redis.exceptions.RedisError: the connection cannot be opened.
        """
        self._waiting = object() if waits else None
        try:
            line = await self.client.wire.opened()
            if line is not self._line:
                self._id = None  # at another server it would be another's
                self._id = await line.send(("CLIENT", "ID"))
                self._line = line
            return await line.send_all(*commands)
        finally:
            self._waiting = None

    def call_off(self) -> None:
        """Ends the wait, where there is one: the commands behind it are run now."""
        if self._waiting is None:
            return
        self._unwanted = self._waiting
        if self._calling_off is None or self._calling_off.done():
            self._calling_off = asyncio.create_task(self._call_off(), name=f"call off {self._name}")

    async def _call_off(self) -> None:
        # Until it has ended: what was sent may not have reached the server yet, or stand behind an abandoned wait.
        while self._waiting is not None and self._waiting is self._unwanted:
            with contextlib.suppress(*AWAY):  # then its own connection is lost as well, or will be
                if self._id is not None:
                    await self._shared.execute_command("CLIENT UNBLOCK", self._id)
            await asyncio.sleep(AGAIN)

    async def close(self) -> None:
        """Closes the connection; what stands at the server is lost."""
        if self._calling_off is not None:
            self._calling_off.cancel()
        await self.client.aclose()
