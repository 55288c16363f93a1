"""Sessions of browsers: several accounts in one, one of them current, on any number of devices."""

from __future__ import annotations

import logging
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from runtime.errors import Conflict, NotFound, Unauthenticated
from runtime.http.access import Caller
from runtime.services.auth.ports import Device, Signed, Visitor
from runtime.services.auth.sign_in import WRONG, Admitted, device_digest
from runtime.services.auth.standing import Standing, ended, members, standing
from runtime.services.auth.store import revocations, sessions, users
from runtime.services.auth.tokens import BadToken
from runtime.services.auth.verified import Entry, digest
from runtime.services.names import time_ordered

if TYPE_CHECKING:
    from runtime.services.auth.endings import Endings
    from runtime.services.auth.ports import User
    from runtime.services.auth.refresh import RefreshTokens
    from runtime.services.auth.sign_in import SignIn
    from runtime.services.auth.spec import AuthSpec
    from runtime.services.auth.tokens import Tokens
    from runtime.services.auth.verified import Verified
    from runtime.services.outbox.ports import Transactions
    from runtime.storage.database import Database

logger = logging.getLogger("runtime.auth")

USER_SCOPES: Final = frozenset({"account:read", "account:write", "keys:read", "keys:write", "credits:read"})
"""What every account may do: look after itself."""


class SessionStore:
    """Implements the port `Sessions`.

    Args:
        spec: the `auth` section.
        database: for reads.
        transactions: for writes.
        tokens: signs and reads access tokens.
        verified: those that were found right on this instance.
    """

    def __init__(
        self,
        spec: AuthSpec,
        database: Database,
        transactions: Transactions,
        *,
        tokens: Tokens,
        verified: Verified,
        sign_in: SignIn,
        refresh: RefreshTokens,
        endings: Endings,
    ) -> None:
        self._spec = spec
        self._database = database
        self._transactions = transactions
        self._tokens = tokens
        self._verified = verified
        self._sign_in = sign_in
        self._refresh = refresh
        self._endings = endings

    # Who shows an access token

    async def entry(self, token: str) -> Entry | None:
        """Whom an access token belongs to, as long as the account is signed in to the session."""
        known = digest(token)
        return self._verified.get(known) or await self._verify(token, known)

    async def _verify(self, token: str, known: bytes) -> Entry | None:
        try:
            claims = self._tokens.read(token)
        except BadToken as error:
            logger.debug("an access token was refused: %s", error)
            return None
        mark = self._verified.mark
        async with self._database.reading() as connection:
            row = await sessions.find(connection, claims.session)
            found = await users.find(connection, claims.user)
        if row is None or found is None or claims.user not in row.users:
            return None
        caller = caller_of(found[0], row.id)
        subjects = (f"session:{row.id}", f"user:{claims.user}", f"signing:{claims.kid}")
        entry = Entry(caller, row.id, min(claims.expires, row.expires_at.timestamp()), subjects, row.csrf)
        self._verified.put(mark, known, entry)
        return entry

    # Signing in, refreshing

    async def sign_in(self, visitor: Visitor, session: str | None, email: str, password: str) -> Signed:
        return await self._begin(visitor, session, await self._sign_in.admit(visitor, email, password))

    async def _begin(self, visitor: Visitor, before: str | None, admitted: Admitted) -> Signed:
        """A new session with the accounts of the one before: who knew that one's tokens shall not have this one's."""
        user = admitted.user
        async with self._transactions.transaction() as tx:
            connection = tx.connection
            found = await users.find(connection, user.id, lock=True)
            if found is None or found[1] != admitted.kept:  # it was removed or changed while it was compared
                raise Unauthenticated(WRONG)
            old = await sessions.find(connection, before, lock=True) if before else None
            ids = tuple(dict.fromkeys([*(old.users if old else ()), user.id]))
            if len(ids) > self._spec.sessions.max_users:
                raise Conflict(
                    f"a session holds {self._spec.sessions.max_users} accounts", remedy="Sign out of one of them first."
                )
            row = self._row(visitor, old, user.id, ids)
            await sessions.add(connection, row)
            refresh = await self._refresh.first(tx, row.id)
            if admitted.password is not None:
                await users.change(connection, user.id, password=admitted.password)
            if admitted.device is not None:
                await users.know(connection, user.id, device_digest(admitted.device))
            if old is not None:
                await sessions.remove(connection, old.id)
                await revocations.write(connection, [f"session:{old.id}"])
            begun = Standing(row, await members(connection, row))
        if old is not None:
            self._verified.revoke([f"session:{old.id}"])
        return self._signed(begun, refresh=refresh, device=admitted.device)

    def _row(self, visitor: Visitor, old: sessions.Row | None, user: str, users: tuple[str, ...]) -> sessions.Row:
        now = datetime.now(UTC)
        return sessions.Row(
            id=time_ordered(),
            current=user,
            csrf=secrets.token_urlsafe(32),
            agent=visitor.agent[:400],
            first_address=old.first_address if old else visitor.address,
            last_address=visitor.address,
            created_at=old.created_at if old else now,
            used_at=now,
            expires_at=now + timedelta(seconds=self._spec.jwt.refresh_ttl),
            users=users,
        )

    async def refresh(self, visitor: Visitor) -> Signed:
        used, token = await self._refresh.use(visitor)
        return self._signed(used, refresh=token)

    # Accounts of a session

    async def switch(self, session: str, user: str) -> Signed:
        async with self._transactions.transaction() as tx:
            row = await sessions.find(tx.connection, session, lock=True)
            if row is None or user not in row.users:
                raise NotFound("this account is not in the session", remedy="Sign in to it.")
            await sessions.change(tx.connection, session, current=user)
            now = Standing(row._replace(current=user), await members(tx.connection, row))
        return self._signed(now)

    async def show(self, session: str) -> Signed:
        async with self._database.reading() as connection:
            return self._signed(await standing(connection, session))

    async def sign_out(self, session: str, user: str | None) -> Signed | None:
        async with self._database.reading() as connection:
            row = await sessions.find(connection, session)
        left = row
        for each in row.users if row and user is None else [user] if user else []:
            left = await self._endings.leave(session, each, "owner")
        if left is None:
            return None
        async with self._database.reading() as connection:
            return self._signed(Standing(left, await members(connection, left)))

    def _signed(self, at: Standing, *, refresh: str | None = None, device: str | None = None) -> Signed:
        row, users = at
        current = next((user for user in users if user.id == row.current), None) or next(iter(users), None)
        if current is None:
            raise ended()
        return Signed(
            session=row.id,
            access=self._tokens.issue(current.id, row.id),
            life=self._tokens.life,
            refresh=refresh,
            refresh_life=(row.expires_at - datetime.now(UTC)).total_seconds(),
            csrf=row.csrf,
            current=current,
            users=users,
            device=device,
        )

    # Devices of an account

    async def devices(self, user: str) -> list[Device]:
        async with self._database.reading() as connection:
            return [_device(row) for row in await sessions.of_user(connection, user)]

    async def revoke(self, user: str, session: str) -> None:
        if session not in {device.session for device in await self.devices(user)}:
            raise NotFound("you are not signed in there")
        await self._endings.leave(session, user, "owner")

    async def revoke_others(self, user: str, keep: str | None) -> int:
        return await self._endings.revoke_others(user, keep, "owner")

    async def prune(self) -> None:
        """Removes sessions that are over."""
        async with self._database.reading() as connection:
            over = await sessions.over(connection)
        for session in over:
            async with self._transactions.transaction() as tx:
                await sessions.remove(tx.connection, session)


def caller_of(user: User, session: str) -> Caller:
    """An account of a session as the caller of a request."""
    return Caller(f"user:{user.id}", USER_SCOPES | set(user.scopes), session=session)


def _device(row: sessions.Row) -> Device:
    return Device(row.id, row.agent, row.first_address, row.last_address, row.created_at, row.used_at, row.expires_at)
