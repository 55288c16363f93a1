"""The component of accounts and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from runtime.health import Health
from runtime.services.auth import store
from runtime.services.auth.api_keys import KeyStore
from runtime.services.auth.hashing import Hashing
from runtime.services.auth.revocations import Revocations
from runtime.services.auth.store import keys
from runtime.services.auth.verified import Verified

if TYPE_CHECKING:
    from runtime.services.auth.spec import AuthSpec
    from runtime.storage.database import Database

PROBE_LIMIT: Final = 0.8
BEHIND: Final = 2.0
"""Seconds without a word on revocations after which health says so."""


class Auth:
    """Who may use the environment.

    Args:
        spec: the `auth` section.
        database: where keys and accounts are.

    Attributes:
        api_keys: makes and ends API keys, and knows who shows one.
    """

    def __init__(self, spec: AuthSpec, database: Database) -> None:
        self._database = database
        self._verified = Verified()
        self._revocations = Revocations(database, self._verified)
        self.api_keys = KeyStore(spec.api_keys, database, self._verified, Hashing())

    async def start(self) -> None:
        await self._revocations.look()

    async def watch(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._revocations.watch)
            tasks.start_soon(self._revocations.prune)
            tasks.start_soon(self.api_keys.note_use)

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
        return Health(details={"api_keys": count, "not_built": NOT_BUILT})


NOT_BUILT: Final = ("accounts", "credit limits of API keys")
"""What of the section this version does not run."""
