"""Refresh tokens: each is used once and gives its successor; parallel tabs get the same, a thief ends the session."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runtime.errors import Unauthenticated
from runtime.services.auth.store import sessions

if TYPE_CHECKING:
    from runtime.services.auth.endings import Endings
    from runtime.services.auth.ports import Visitor
    from runtime.services.auth.spec import JwtSpec
    from runtime.services.outbox.ports import Transaction, Transactions
    from runtime.storage.database import Database


class RefreshTokens:
    """Makes, uses and replaces them.

    Args:
        spec: `auth.jwt`.
        database: for reads.
        transactions: for writes.
        endings: what ends the session of a stolen one.
    """

    def __init__(self, spec: JwtSpec, database: Database, transactions: Transactions, endings: Endings) -> None:
        self._spec = spec
        self._database = database
        self._transactions = transactions
        self._endings = endings

    async def first(self, tx: Transaction, session: str) -> str:
        """The first token of a session."""
        token = secrets.token_urlsafe(32)
        await sessions.add_token(tx.connection, _digest(token), session)
        return token

    async def use(self, visitor: Visitor) -> tuple[sessions.Row, str]:
        """Uses the visitor's token.

        Returns:
            Its session, and its successor.

        Raises:
            Unauthenticated: it is not good; where it was used before, its session has been ended.
        """
        token, came = visitor.refresh or "", datetime.now(UTC)
        found = await self._find(_digest(token))
        if found is not None and found.replaced_at is None:
            salt = await self._replace(token, found.session, visitor)
            if salt is not None:
                return await self.row(found.session), _child(token, salt)
            found = await self._find(_digest(token))  # another was first
        if found is None or found.replaced_at is None:
            raise ended()
        row = await self.row(found.session)
        child = await self._find(found.child or "")
        age = (came - found.replaced_at).total_seconds()  # what it waited here for the database is not the visitor's
        if child is None or child.replaced_at is not None or age > self._spec.reuse_grace:
            await self._endings.stolen(row, visitor.address)
            raise ended(": its token was used twice")
        return row, _child(token, found.salt or "")

    async def row(self, session: str) -> sessions.Row:
        """A session.

        Raises:
            Unauthenticated: it has ended.
        """
        async with self._database.reading() as connection:
            row = await sessions.find(connection, session)
        if row is None or not row.users:
            raise ended()
        return row

    async def _find(self, hashed: str) -> sessions.Refresh | None:
        async with self._database.reading() as connection:
            return await sessions.token(connection, hashed)

    async def _replace(self, token: str, session: str, visitor: Visitor) -> str | None:
        """Uses a token up; returns what its successor is made with, or None where another was first."""
        salt = secrets.token_hex(16)
        child = _digest(_child(token, salt))
        async with self._transactions.transaction() as tx:
            if not await sessions.replace(tx.connection, _digest(token), child, salt):
                return None
            await sessions.add_token(tx.connection, child, session)
            used = {"used_at": datetime.now(UTC), "last_address": visitor.address}
            await sessions.change(tx.connection, session, **used)
        return salt


def ended(why: str = "") -> Unauthenticated:
    """The refusal of a session that is over."""
    return Unauthenticated(f"the session has ended{why}", remedy="Sign in again.")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _child(token: str, salt: str) -> str:
    """The successor of a refresh token. It takes the token and the database to make it again: neither alone does."""
    raw = hmac.digest(token.encode("utf-8", "surrogateescape"), salt.encode(), hashlib.sha256)
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
