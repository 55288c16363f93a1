"""Refresh tokens: each is used once and gives its successor; parallel tabs get the same, a thief ends the session."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from runtime.services.auth.rounds import Rounds
from runtime.services.auth.standing import Standing, ended, standing
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
        self._rounds: Rounds[_Used] = Rounds()

    async def first(self, tx: Transaction, session: str) -> str:
        """The first token of a session."""
        token = secrets.token_urlsafe(32)
        await sessions.add_token(tx.connection, _digest(token), session)
        return token

    async def use(self, visitor: Visitor) -> tuple[Standing, str]:
        """Uses the visitor's token.

        Returns:
            Its session, and its successor.

        Raises:
            Unauthenticated: it is not good; where it was used before, its session has been ended.
        """
        token, came = visitor.refresh or "", datetime.now(UTC)
        used = await self._rounds.run(_digest(token), lambda: self._used(token, visitor))
        age = (came - used.at).total_seconds()  # what it waited here for the database is not the visitor's
        if not used.last or age > self._spec.reuse_grace:
            await self._endings.stolen(used.standing.row, visitor.address)
            raise ended(": its token was used twice")
        return used.standing, _child(token, used.salt)

    async def _used(self, token: str, visitor: Visitor) -> _Used:
        """What became of a token, which is used up unless it was before."""
        hashed = _digest(token)
        async with self._database.reading() as connection:
            found = await sessions.token(connection, hashed)
            if found is None:
                raise ended()
            if found.replaced_at is not None:
                return _Used(await standing(connection, found.session), found.replaced_at, found.salt or "", found.last)
        salt, now = secrets.token_hex(16), datetime.now(UTC)
        child = _digest(_child(token, salt))
        async with self._transactions.transaction() as tx:
            connection = tx.connection
            # The session before its tokens, as all do that end one: two that wait for each other would both be lost.
            await sessions.change(connection, found.session, used_at=now, last_address=visitor.address)
            if await sessions.replace(connection, hashed, child, salt, now):
                await sessions.add_token(connection, child, found.session)
                return _Used(await standing(connection, found.session), now, salt, last=True)
        return await self._used(token, visitor)  # another instance was first


class _Used(NamedTuple):
    """A refresh token that is used.

    Args:
        at: when.
        salt: from which its successor is made.
        last: whether that is not used itself.
    """

    standing: Standing
    at: datetime
    salt: str
    last: bool


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _child(token: str, salt: str) -> str:
    """The successor of a refresh token. It takes the token and the database to make it again: neither alone does."""
    raw = hmac.digest(token.encode("utf-8", "surrogateescape"), salt.encode(), hashlib.sha256)
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
