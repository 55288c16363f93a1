"""How sessions end: an account leaves one, an operator or a new password ends them, a stolen token gives one away."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from runtime.errors import Fault
from runtime.services.auth.store import revocations, sessions

if TYPE_CHECKING:
    from runtime.services.auth.verified import Verified
    from runtime.services.events.ports import Platform
    from runtime.services.outbox.ports import Transaction, Transactions
    from runtime.storage.database import Database

logger = logging.getLogger("runtime.auth")

REVOKED: Final = "session.revoked"


class Endings:
    """Ends sessions, and tells of it: the instances in rows, everybody else by `session.revoked`.

    Args:
        database: for reads.
        transactions: for writes, and the events that belong to them.
        verified: access tokens that were found right on this instance.
        platform: which streams take the event.
    """

    def __init__(self, database: Database, transactions: Transactions, verified: Verified, platform: Platform) -> None:
        self._database = database
        self._transactions = transactions
        self._verified = verified
        self._platform = platform

    async def leave(self, session: str, user: str, reason: str) -> sessions.Row | None:
        """Signs an account out of a session; returns what is left of it."""
        async with self._transactions.transaction() as tx:
            row = await sessions.find(tx.connection, session, lock=True)
            if row is None or user not in row.users:
                return row
            left = tuple(each for each in row.users if each != user)
            if left:
                current = left[-1] if row.current == user else row.current
                await sessions.leave(tx.connection, session, user)
                await sessions.change(tx.connection, session, current=current)
            else:
                current = user
                await sessions.remove(tx.connection, session)
            await self._tell(tx, session, user, reason)
            await revocations.write(tx.connection, [f"session:{session}"])
        self._verified.revoke([f"session:{session}"])
        return row._replace(users=left, current=current) if left else None

    async def revoke_others(self, user: str, keep: str | None, reason: str) -> int:
        """Signs an account out of all sessions but one; returns out of how many."""
        async with self._database.reading() as connection:
            others = [row.id for row in await sessions.of_user(connection, user) if row.id != keep]
        for session in others:
            await self.leave(session, user, reason)
        return len(others)

    async def stolen(self, row: sessions.Row, address: str) -> None:
        """Ends a session of whose refresh tokens one was used twice: nobody can tell which user is the right one."""
        logger.warning("a refresh token was used twice", extra={"session": row.id, "address": address})
        async with self._transactions.transaction() as tx:
            if await sessions.remove(tx.connection, row.id):
                for user in row.users:
                    await self._tell(tx, row.id, user, "stolen")
                await revocations.write(tx.connection, [f"session:{row.id}"])
        self._verified.revoke([f"session:{row.id}"])

    async def _tell(self, tx: Transaction, session: str, user: str, reason: str) -> None:
        data = {"session": session, "user": user, "reason": reason}
        for stream in self._platform.streams(REVOKED):
            try:
                await tx.publish(stream, REVOKED, data, key=user)
            except Fault as fault:  # the user's schema for it
                logger.warning("%s could not be published to %s: %s", REVOKED, stream, fault.message)
