"""The component of accounts and keys."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import anyio

from runtime.errors import Fault
from runtime.health import Health
from runtime.services.auth import store
from runtime.services.auth.accounts import AccountStore
from runtime.services.auth.api_keys import KeyStore
from runtime.services.auth.attempts import Attempts
from runtime.services.auth.browsers import Browsers
from runtime.services.auth.codes import Codes
from runtime.services.auth.endings import Endings
from runtime.services.auth.hashing import Hashing
from runtime.services.auth.passwords import Passwords
from runtime.services.auth.ports import SigningKeyView
from runtime.services.auth.profiles import ProfileStore
from runtime.services.auth.refresh import RefreshTokens
from runtime.services.auth.revocations import Revocations
from runtime.services.auth.sessions import SessionStore
from runtime.services.auth.sign_in import SignIn
from runtime.services.auth.signing import KeyRing
from runtime.services.auth.store import codes as stored_codes
from runtime.services.auth.store import keys, revocations, sessions, users
from runtime.services.auth.tokens import Tokens
from runtime.services.auth.users import UserStore
from runtime.services.auth.verified import Verified

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from redis.asyncio import Redis

    from runtime.http.access import Caller
    from runtime.services.auth.ports import Belongings, TextMessages
    from runtime.services.auth.spec import AuthSpec, JwtSpec
    from runtime.services.events.ports import Platform
    from runtime.services.outbox.ports import Transactions
    from runtime.storage.database import Database

logger = logging.getLogger("runtime.auth")

PROBE_LIMIT: Final = 0.8
BEHIND: Final = 2.0
"""Seconds without a word on revocations after which health says so."""
PRUNE: Final = 3600.0
LOOK: Final = 1.0
"""Seconds between two looks at the folder of signing keys."""


class Auth:
    """Who may use the environment; implements the ports `Access` and `Signing`.

    Args:
        spec: the `auth` section.
        database: where keys and accounts are.
        transactions: where they are written, with the mails and events that belong to it.
        client: of Redis, which counts attempts.
        platform: what refused sign-ins are told to.
        name: of the environment.
        prefix: of its keys in Redis.
        folder: of the signing keys.
        issuer: `iss` of tokens.
        audience: `aud` of tokens.
        mail: the queue of mails; None where the spec has none that delivers.
        texts: what sends text messages; None where nothing does.
        origins: whose pages may send changes, beside those of this host.
        belongings: what other services keep of users, and is removed with their accounts.

    Attributes:
        api_keys: makes and ends API keys, and knows who shows one.
        sessions: signs accounts in and out.
        accounts: signs up, and changes passwords.
        profiles: what accounts say of themselves.
        users: accounts by hand.
        browsers: knows callers by their cookies.
        watched: tells when one of them is revoked.
    """

    def __init__(
        self,
        spec: AuthSpec,
        database: Database,
        transactions: Transactions,
        client: Redis,
        platform: Platform,
        *,
        name: str,
        prefix: str,
        folder: Path,
        issuer: str,
        audience: str,
        mail: str | None,
        texts: TextMessages | None = None,
        origins: frozenset[str] = frozenset(),
        belongings: Sequence[Belongings] = (),
    ) -> None:
        self._spec = spec
        self._database = database
        self._mail = mail
        self._texts = texts
        self._verified = verified = Verified()
        self._revocations = Revocations(database, verified)
        jwt, hashing = spec.jwt, Hashing()
        self._ring = KeyRing(folder, keep=jwt.access_ttl + 2 * jwt.leeway, given=_given(jwt))
        passwords, attempts = Passwords(spec.passwords, hashing), Attempts(client, f"{prefix}auth:")
        codes = Codes(spec.codes, attempts, name=name, queue=mail, texts=texts)
        endings = Endings(database, transactions, verified, platform)
        self.api_keys = KeyStore(spec.api_keys, database, verified, hashing)
        self.sessions = SessionStore(
            spec,
            database,
            transactions,
            tokens=Tokens(self._ring, issuer=issuer, audience=audience, life=jwt.access_ttl, leeway=jwt.leeway),
            verified=verified,
            sign_in=SignIn(spec.passwords.lockout, database, passwords=passwords, attempts=attempts, platform=platform),
            refresh=RefreshTokens(jwt, database, transactions, endings),
            endings=endings,
        )
        self.accounts = AccountStore(
            spec, database, transactions, codes=codes, passwords=passwords, attempts=attempts, endings=endings
        )
        self.profiles = ProfileStore(database, transactions, codes)
        self.users = UserStore(
            database, transactions, codes=codes, passwords=passwords, endings=endings, verified=verified,
            belongings=belongings,
        )  # fmt: skip
        self.browsers = Browsers(self.sessions, origins)
        self.watched = verified.watched

    def known(self, credential: str) -> Caller | None:
        """Whom a credential belongs to that was found right a while ago."""
        return self.api_keys.known(credential)

    async def caller(self, credential: str, address: str) -> Caller | None:
        """Whom an access token or an API key belongs to; only a token has dots."""
        if "." not in credential:
            return await self.api_keys.caller(credential, address)
        entry = await self.sessions.entry(credential)
        return entry.caller if entry is not None else None

    # As a component

    async def start(self) -> None:
        await self._ring.open()
        await self._revocations.look()

    async def watch(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._revocations.watch)
            tasks.start_soon(self._revocations.prune)
            tasks.start_soon(self.api_keys.note_use)
            tasks.start_soon(self._turn_keys)
            tasks.start_soon(self._prune)

    async def update(self, fields: Mapping[str, Any]) -> None:
        """Takes another `signup`."""
        self.accounts.signup = fields.get("signup", self.accounts.signup)

    async def stop(self) -> None:
        await self.api_keys.write_use()

    async def health(self) -> Health:
        try:
            with anyio.fail_after(PROBE_LIMIT):
                async with self._database.reading() as connection:
                    figures = {
                        "users": await users.count(connection),
                        "sessions": await sessions.count(connection),
                        "api_keys": await keys.count(connection),
                    }
        except store.AWAY as error:
            return Health("degraded", f"the database does not answer ({type(error).__name__})")
        if self._verified.behind > BEHIND:
            return Health("degraded", f"no word on what was revoked for {self._verified.behind:.0f} s")
        signing = {view.kid: view.state for view in self.views()}
        mail = self._mail or "none: nobody can sign up or get a new password"
        texts = "yes" if self._texts else "none: phones cannot be verified"
        return Health(details={**figures, "signing_keys": signing, "mail": mail, "text_messages": texts})

    # Signing keys

    def jwks(self) -> Mapping[str, Any]:
        return self._ring.jwks()

    def views(self) -> list[SigningKeyView]:
        return [SigningKeyView(key.kid, state, key.since) for key, state in self._ring.states()]

    async def rotate(self, *, compromised: bool = False) -> SigningKeyView:
        made, removed = await self._ring.rotate(compromised=compromised)
        subjects = [f"signing:{kid}" for kid in removed]
        async with self._database.transaction() as connection:
            await revocations.write(connection, subjects)
        self._verified.revoke(subjects)
        return next(view for view in self.views() if view.kid == made.kid)

    async def _prune(self) -> None:
        """Removes what is over, until it is cancelled."""
        while True:
            try:
                await self.sessions.prune()
                async with self._database.transaction() as connection:
                    await stored_codes.forget(connection)
            except store.AWAY as error:
                logger.warning("what is over could not be removed: %s", type(error).__name__)
            await asyncio.sleep(PRUNE)

    async def _turn_keys(self) -> None:
        """Learns of other processes' keys and removes those that are over, until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                self._ring.read()
                self._ring.sweep()
            except (Fault, OSError) as error:
                logger.warning("the signing keys cannot be read again: %s", error)


def _given(jwt: JwtSpec) -> list[tuple[str, str]]:
    """The keys that the spec itself holds."""
    if jwt.signing_key is None:
        return []
    named = [("auth.jwt.signing_key", jwt.signing_key), ("auth.jwt.previous_key", jwt.previous_key)]
    return [(name, secret.get_secret_value()) for name, secret in named if secret is not None]
