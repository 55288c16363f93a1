"""Connections to a mail server that are kept open between letters."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import aiosmtplib
import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

IDLE: Final = 60.0
"""Seconds after which an unused connection is closed instead of used: many servers close them by then."""
FRESH: Final = 1.0
"""Seconds within which a connection is used again without a look at whether it still stands."""


class SmtpPool:
    """At most so many connections, each made when it is first needed.

    Args:
        make: a client that is not connected, with what it signs in with.
        connections: how many there may be.
    """

    def __init__(self, make: Callable[[], aiosmtplib.SMTP], connections: int) -> None:
        self._make = make
        self._places = anyio.CapacityLimiter(connections)
        self._idle: list[tuple[aiosmtplib.SMTP, float]] = []
        self._generation = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[aiosmtplib.SMTP]:
        """A connected client for one letter; kept where the block ends well, closed where it does not.

        Raises:
            SMTPException, OSError, TimeoutError: the server cannot be reached, or does not take us.
        """
        async with self._places:
            generation = self._generation
            client = await self._reused() or await self._connected()
            try:
                yield client
            except aiosmtplib.SMTPResponseException as error:
                # It has answered: the connection stands, unless it said that it closes it.
                await self._keep(client, generation, stands=error.code != 421)
                raise
            except aiosmtplib.SMTPRecipientsRefused:
                await self._keep(client, generation, stands=True)
                raise
            except BaseException:
                client.close()
                raise
            else:
                self._idle.append((client, time.monotonic())) if generation == self._generation else client.close()

    def renew(self) -> None:
        """Makes new connections from now on; those in use end with their letter."""
        self._generation += 1
        self.close()

    def close(self) -> None:
        """Closes what is idle."""
        idle, self._idle = self._idle, []
        for client, _ in idle:
            client.close()

    async def _keep(self, client: aiosmtplib.SMTP, generation: int, *, stands: bool) -> None:
        if stands and generation == self._generation and client.is_connected:
            try:
                await client.rset()
            except (aiosmtplib.SMTPException, OSError):
                client.close()
            else:
                self._idle.append((client, time.monotonic()))
        else:
            client.close()

    async def _reused(self) -> aiosmtplib.SMTP | None:
        while self._idle:
            client, since = self._idle.pop()
            age = time.monotonic() - since
            if client.is_connected and age < IDLE:
                if age < FRESH:
                    return client
                try:
                    await client.noop()
                except (aiosmtplib.SMTPException, OSError):
                    client.close()
                else:
                    return client
            else:
                client.close()
        return None

    async def _connected(self) -> aiosmtplib.SMTP:
        client = self._make()
        try:
            await client.connect()
        except BaseException:
            client.close()
            raise
        return client
