"""Whether who signs in is who they say: the password, and how often it may be tried from where."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

from runtime.errors import TooMany, Unauthenticated
from runtime.services.auth.attempts import Counted
from runtime.services.auth.store import users
from runtime.telemetry.audit import concern

if TYPE_CHECKING:
    from runtime.services.auth.attempts import Attempts
    from runtime.services.auth.passwords import Passwords
    from runtime.services.auth.ports import User, Visitor
    from runtime.services.auth.spec import LockoutSpec
    from runtime.services.events.ports import Platform
    from runtime.storage.database import Database

OF_AN_ADDRESS: Final = 10
"""How many times the attempts of one account an address has over all accounts."""
WRONG: Final = "the address or the password is wrong"


class Admitted(NamedTuple):
    """Somebody whose password was right.

    Args:
        kept: the hash that it was compared with.
        password: its hash at the present cost, where the one that is kept has another.
        device: a token by which the device will be known; None where it is known.
    """

    user: User
    kept: str
    password: str | None
    device: str | None


class SignIn:
    """Checks passwords.

    Args:
        lockout: `auth.passwords.lockout`.
        database: for reads.
        platform: what is told of refusals.
    """

    def __init__(
        self, lockout: LockoutSpec, database: Database, *, passwords: Passwords, attempts: Attempts, platform: Platform
    ) -> None:
        self._lockout = lockout
        self._database = database
        self._passwords = passwords
        self._attempts = attempts
        self._platform = platform

    async def admit(self, visitor: Visitor, email: str, password: str) -> Admitted:
        """Whoever has the address and the password.

        Raises:
            Unauthenticated: nobody has.
            TooMany: there were too many wrong ones.
        """
        async with self._database.reading() as connection:
            found = await users.by_email(connection, email)
            device = device_digest(visitor.device or "")
            known = await users.knows(connection, found[0].id if found else "", device)
        mine = f"sign-in:{email}:device:{device}" if known else tries_from(visitor.address, email)
        await self._count(mine, None if known else visitor.address)
        kept = found[1] if found else None
        if not await self._passwords.fits(kept, password) or found is None or kept is None:
            if found is not None:
                concern(f"user:{found[0].id}")
            self._platform.sign_in_refused(visitor.address, method="password", reason=WRONG)
            raise Unauthenticated(WRONG)
        await self._attempts.clear(mine)
        if not known:
            await self._attempts.forgive(f"sign-in:{visitor.address}")
        fresh = await self._passwords.hashed(password) if self._passwords.outdated(kept) else None
        return Admitted(found[0], kept, fresh, None if known else secrets.token_urlsafe(32))

    async def _count(self, mine: str, address: str | None) -> None:
        limit = self._lockout
        counted = [Counted(mine, limit.attempts, limit.window)]
        if address is not None:
            counted.append(Counted(f"sign-in:{address}", limit.attempts * OF_AN_ADDRESS, limit.window))
        wait = await self._attempts.begin(*counted)
        if wait > 0:
            raise TooMany("too many attempts from here", retry_after=wait, remedy="Wait, or ask for a new password.")


def tries_from(address: str, email: str) -> str:
    """What the tries of an account are counted by that come from one network address."""
    return f"sign-in:{email}:address:{address}"


def device_digest(device: str) -> str:
    """What a device is known by in the database."""
    return hashlib.sha256(device.encode("utf-8", "surrogateescape")).hexdigest()
