"""Sessions of browsers: several accounts in one, one of them current; refresh tokens that rotate."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from runtime.errors import Conflict, Fault, NotFound, TooMany, Unauthenticated
from runtime.http.access import Caller
from runtime.services.auth.attempts import Counted
from runtime.services.auth.ports import Device, Signed, User, Visitor
from runtime.services.auth.store import revocations, sessions, users
from runtime.services.auth.tokens import BadToken
from runtime.services.auth.verified import Entry, digest
from runtime.services.names import time_ordered

if TYPE_CHECKING:
    from runtime.services.auth.attempts import Attempts
    from runtime.services.auth.passwords import Passwords
    from runtime.services.auth.spec import AuthSpec
    from runtime.services.auth.tokens import Tokens
    from runtime.services.auth.verified import Verified
    from runtime.services.events.ports import Platform
    from runtime.services.outbox.ports import Transaction, Transactions
    from runtime.storage.database import Database

logger = logging.getLogger("runtime.auth")

REVOKED: Final = "session.revoked"
USER_SCOPES: Final = frozenset({"account:read", "account:write", "keys:read", "keys:write", "credits:read"})
"""What every account may do: look after itself."""
OF_AN_ADDRESS: Final = 10
"""How many times the attempts of one account an address has over all accounts."""
WRONG: Final = "the address or the password is wrong"


class SessionStore:
    """Implements the port `Sessions`.

    Args:
        spec: the `auth` section.
        database: for reads.
        transactions: for writes, and the events that belong to them.
        verified: access tokens that were found right on this instance.
    """

    def __init__(
        self,
        spec: AuthSpec,
        database: Database,
        transactions: Transactions,
        *,
        tokens: Tokens,
        verified: Verified,
        passwords: Passwords,
        attempts: Attempts,
        platform: Platform,
    ) -> None:
        self._spec = spec
        self._database = database
        self._transactions = transactions
        self._tokens = tokens
        self._verified = verified
        self._passwords = passwords
        self._attempts = attempts
        self._platform = platform

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
        caller = Caller(f"user:{claims.user}", USER_SCOPES | set(found[0].scopes), session=row.id)
        subjects = (f"session:{row.id}", f"user:{claims.user}", f"signing:{claims.kid}")
        entry = Entry(caller, row.id, min(claims.expires, row.expires_at.timestamp()), subjects, row.csrf)
        self._verified.put(mark, known, entry)
        return entry

    # Signing in

    async def sign_in(self, visitor: Visitor, session: str | None, email: str, password: str) -> Signed:
        async with self._database.reading() as connection:
            found = await users.by_email(connection, email)
            device = hashlib.sha256((visitor.device or "").encode()).hexdigest()
            known = await users.knows(connection, found[0].id if found else "", device)
        place = f"device:{device}" if known else f"address:{visitor.address}"
        mine = await self._count(f"sign-in:{email}:{place}", None if known else visitor.address)
        kept = found[1] if found else None
        if not await self._passwords.fits(kept, password) or found is None or kept is None:
            self._platform.sign_in_refused(visitor.address, method="password", reason=WRONG)
            raise Unauthenticated(WRONG)
        await self._attempts.clear(mine)
        if not known:
            await self._attempts.forgive(f"sign-in:{visitor.address}")
        fresh = await self._passwords.hashed(password) if self._passwords.outdated(kept) else None
        return await self._begin(visitor, session, found[0], fresh, None if known else secrets.token_urlsafe(32))

    async def _count(self, mine: str, address: str | None) -> str:
        limit = self._spec.passwords.lockout
        counted = [Counted(mine, limit.attempts, limit.window)]
        if address is not None:
            counted.append(Counted(f"sign-in:{address}", limit.attempts * OF_AN_ADDRESS, limit.window))
        wait = await self._attempts.begin(*counted)
        if wait > 0:
            raise TooMany("too many attempts from here", retry_after=wait, remedy="Wait, or ask for a new password.")
        return mine

    async def _begin(
        self, visitor: Visitor, before: str | None, user: User, password: str | None, device: str | None
    ) -> Signed:
        """A new session with the accounts of the one before: who knew that one's tokens shall not have this one's."""
        now = datetime.now(UTC)
        token = secrets.token_urlsafe(32)
        async with self._transactions.transaction() as tx:
            connection = tx.connection
            old = await sessions.find(connection, before, lock=True) if before else None
            members = tuple(dict.fromkeys([*(old.users if old else ()), user.id]))
            if len(members) > self._spec.sessions.max_users:
                raise Conflict(
                    f"a session holds {self._spec.sessions.max_users} accounts", remedy="Sign out of one of them first."
                )
            row = sessions.Row(
                id=time_ordered(),
                current=user.id,
                csrf=secrets.token_urlsafe(32),
                agent=visitor.agent[:400],
                first_address=old.first_address if old else visitor.address,
                last_address=visitor.address,
                created_at=old.created_at if old else now,
                used_at=now,
                expires_at=now + timedelta(seconds=self._spec.jwt.refresh_ttl),
                users=members,
            )
            await sessions.add(connection, row)
            await sessions.add_token(connection, _digest(token), row.id)
            if password is not None:
                await users.change(connection, user.id, password=password)
            if device is not None:
                await users.know(connection, user.id, hashlib.sha256(device.encode()).hexdigest())
            if old is not None:
                await sessions.remove(connection, old.id)
                await revocations.write(connection, [f"session:{old.id}"])
        if old is not None:
            self._verified.revoke([f"session:{old.id}"])
        return await self._signed(row, refresh=token, device=device)

    # Refreshing

    async def refresh(self, visitor: Visitor) -> Signed:
        token = visitor.refresh or ""
        found = await self._token(_digest(token))
        if found is not None and found.replaced_at is None:
            salt = await self._replace(token, found.session, visitor)
            if salt is not None:
                return await self._signed(await self._row(found.session), refresh=_child(token, salt))
            found = await self._token(_digest(token))  # another was first
        if found is None or found.replaced_at is None:
            raise _ended()
        row = await self._row(found.session)
        child = await self._token(found.child or "")
        age = (datetime.now(UTC) - found.replaced_at).total_seconds()
        if child is None or child.replaced_at is not None or age > self._spec.jwt.reuse_grace:
            await self._stolen(row, visitor)
            raise _ended(": its token was used twice")
        return await self._signed(row, refresh=_child(token, found.salt or ""))

    async def _token(self, hashed: str) -> sessions.Refresh | None:
        async with self._database.reading() as connection:
            return await sessions.token(connection, hashed)

    async def _row(self, session: str) -> sessions.Row:
        async with self._database.reading() as connection:
            row = await sessions.find(connection, session)
        if row is None or not row.users:
            raise _ended()
        return row

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

    async def _stolen(self, row: sessions.Row, visitor: Visitor) -> None:
        """Ends a session of whose refresh tokens one was used twice: nobody can tell which user is the right one."""
        logger.warning("a refresh token was used twice", extra={"session": row.id, "address": visitor.address})
        async with self._transactions.transaction() as tx:
            if await sessions.remove(tx.connection, row.id):
                for user in row.users:
                    await self._tell(tx, row.id, user, "stolen")
                await revocations.write(tx.connection, [f"session:{row.id}"])
        self._verified.revoke([f"session:{row.id}"])

    # Accounts of a session

    async def switch(self, session: str, user: str) -> Signed:
        async with self._transactions.transaction() as tx:
            row = await sessions.find(tx.connection, session, lock=True)
            if row is None or user not in row.users:
                raise NotFound("this account is not in the session", remedy="Sign in to it.")
            await sessions.change(tx.connection, session, current=user)
        return await self._signed(row._replace(current=user))

    async def show(self, session: str) -> Signed:
        return await self._signed(await self._row(session))

    async def sign_out(self, session: str, user: str | None) -> Signed | None:
        async with self._database.reading() as connection:
            row = await sessions.find(connection, session)
        left = row
        for each in row.users if row and user is None else [user] if user else []:
            left = await self._leave(session, each, "owner")
        return await self._signed(left) if left is not None else None

    async def devices(self, user: str) -> list[Device]:
        async with self._database.reading() as connection:
            rows = await sessions.of_user(connection, user)
        return [
            Device(
                row.id,
                row.agent,
                row.first_address,
                row.last_address,
                row.created_at,
                row.used_at,
                row.expires_at,
            )
            for row in rows
        ]

    async def revoke(self, user: str, session: str) -> None:
        if session not in {device.session for device in await self.devices(user)}:
            raise NotFound("you are not signed in there")
        await self._leave(session, user, "owner")

    async def revoke_others(self, user: str, keep: str | None, reason: str = "owner") -> int:
        others = [device.session for device in await self.devices(user) if device.session != keep]
        for session in others:
            await self._leave(session, user, reason)
        return len(others)

    async def _leave(self, session: str, user: str, reason: str) -> sessions.Row | None:
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

    async def prune(self) -> None:
        """Removes sessions that are over."""
        async with self._database.reading() as connection:
            over = await sessions.over(connection)
        for session in over:
            async with self._transactions.transaction() as tx:
                await sessions.remove(tx.connection, session)

    async def _tell(self, tx: Transaction, session: str, user: str, reason: str) -> None:
        data = {"session": session, "user": user, "reason": reason}
        for stream in self._platform.streams(REVOKED):
            try:
                await tx.publish(stream, REVOKED, data, key=user)
            except Fault as fault:  # the user's schema for it
                logger.warning("%s could not be published to %s: %s", REVOKED, stream, fault.message)

    async def _signed(self, row: sessions.Row, *, refresh: str | None = None, device: str | None = None) -> Signed:
        async with self._database.reading() as connection:
            found = [await users.find(connection, user) for user in row.users]
        members = tuple(user for user, _ in filter(None, found))
        current = next((user for user in members if user.id == row.current), None) or next(iter(members), None)
        if current is None:
            raise _ended()
        return Signed(
            session=row.id,
            access=self._tokens.issue(current.id, row.id),
            life=self._tokens.life,
            refresh=refresh,
            refresh_life=(row.expires_at - datetime.now(UTC)).total_seconds(),
            csrf=row.csrf,
            current=current,
            users=members,
            device=device,
        )


def _ended(why: str = "") -> Unauthenticated:
    return Unauthenticated(f"the session has ended{why}", remedy="Sign in again.")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _child(token: str, salt: str) -> str:
    """The successor of a refresh token. It takes the token and the database to make it again: neither alone does."""
    raw = hmac.digest(token.encode("utf-8", "surrogateescape"), salt.encode(), hashlib.sha256)
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
