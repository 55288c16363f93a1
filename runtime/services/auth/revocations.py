"""How every instance learns of a revocation within a second: it is a row of the transaction that revokes, and each
instance asks for new rows more than twice a second.

A message over the bus could be lost between the commit and its sending, or on a broken connection; a row cannot.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import anyio

from runtime.services.auth import store
from runtime.services.auth.store import revocations

if TYPE_CHECKING:
    from runtime.services.auth.verified import Verified
    from runtime.storage.database import Database

logger = logging.getLogger("runtime.auth")

PAUSE: Final = 0.4
PATIENCE: Final = 2.0
KEPT: Final = timedelta(hours=1)
"""For how long a revocation stays told; an instance that heard nothing for longer forgets all that it knew."""
PRUNE: Final = 900.0


class Revocations:
    """Follows what is revoked anywhere.

    Args:
        database: where it is written.
        verified: what has to be forgotten.
    """

    def __init__(self, database: Database, verified: Verified) -> None:
        self._database = database
        self._verified = verified
        self._last: int | None = None

    async def watch(self) -> None:
        """Follows until it is cancelled."""
        away = False
        while True:
            try:
                with anyio.fail_after(PATIENCE):
                    await self.look()
                away = False
            except store.AWAY as error:
                if not away:
                    logger.warning("what was revoked cannot be asked for: %s", type(error).__name__)
                away = True
            await asyncio.sleep(PAUSE)

    async def look(self) -> None:
        """Learns what was revoked since the last look.

        Raises:
            Unreachable, SQLAlchemyError: the database does not answer.
        """
        if self._last is None or self._verified.behind > KEPT.total_seconds() / 2:
            async with self._database.reading() as connection:
                last = await revocations.newest(connection)
            self._verified.clear()
            self._last = last
        else:
            async with self._database.reading() as connection:
                found = await revocations.after(connection, self._last)
            if found:
                self._verified.revoke(subject for _, subject in found)
                self._last = found[-1][0]
        self._verified.fresh()

    async def prune(self) -> None:
        """Removes what everybody has seen, until it is cancelled."""
        while True:
            await asyncio.sleep(PRUNE)
            try:
                async with self._database.transaction() as connection:
                    await revocations.forget(connection, datetime.now(UTC) - KEPT)
            except store.AWAY as error:
                logger.warning("old revocations could not be removed: %s", type(error).__name__)
