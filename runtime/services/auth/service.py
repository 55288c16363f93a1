"""The component of accounts and keys."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import anyio

from runtime.errors import Fault
from runtime.health import Health
from runtime.services.auth import store
from runtime.services.auth.api_keys import KeyStore
from runtime.services.auth.hashing import Hashing
from runtime.services.auth.ports import SigningKeyView
from runtime.services.auth.revocations import Revocations
from runtime.services.auth.signing import KeyRing
from runtime.services.auth.store import keys, revocations
from runtime.services.auth.tokens import Tokens
from runtime.services.auth.verified import Verified

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runtime.services.auth.spec import AuthSpec, JwtSpec
    from runtime.storage.database import Database

logger = logging.getLogger("runtime.auth")

PROBE_LIMIT: Final = 0.8
BEHIND: Final = 2.0
"""Seconds without a word on revocations after which health says so."""
LOOK: Final = 1.0
"""Seconds between two looks at the folder of signing keys."""
NOT_BUILT: Final = ("accounts and sessions", "credit limits of API keys")
"""What of the section this version does not run."""


class Auth:
    """Who may use the environment; implements the port `Signing`.

    Args:
        spec: the `auth` section.
        database: where keys and accounts are.
        keys: the folder of the signing keys.
        issuer: `iss` of tokens.
        audience: `aud` of tokens.

    Attributes:
        api_keys: makes and ends API keys, and knows who shows one.
        tokens: signs and reads access tokens.
    """

    def __init__(self, spec: AuthSpec, database: Database, *, keys: Path, issuer: str, audience: str) -> None:
        self._database = database
        self._verified = Verified()
        self._revocations = Revocations(database, self._verified)
        jwt = spec.jwt
        self._ring = KeyRing(keys, keep=jwt.access_ttl + 2 * jwt.leeway, given=_given(jwt))
        self.tokens = Tokens(self._ring, issuer=issuer, audience=audience, life=jwt.access_ttl, leeway=jwt.leeway)
        self.api_keys = KeyStore(spec.api_keys, database, self._verified, Hashing())

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

    async def stop(self) -> None:
        await self.api_keys.write_use()

    async def health(self) -> Health:
        try:
            with anyio.fail_after(PROBE_LIMIT):
                async with self._database.reading() as connection:
                    count = await keys.count(connection)
        except store.AWAY as error:
            return Health("degraded", f"the database does not answer ({type(error).__name__})")
        if self._verified.behind > BEHIND:
            return Health("degraded", f"no word on what was revoked for {self._verified.behind:.0f} s")
        signing = {view.kid: view.state for view in self.views()}
        return Health(details={"api_keys": count, "signing_keys": signing, "not_built": NOT_BUILT})

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
