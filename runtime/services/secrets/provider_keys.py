"""Users' own keys of AI providers: stored encrypted, never read back, brought under another key in the background."""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio

from runtime.errors import Conflict, Fault, Invalid, NotFound, Pointer, Unreachable
from runtime.health import Health
from runtime.services.names import unknown
from runtime.services.secrets.adapters.sql import Record
from runtime.services.secrets.backend import VaultFault
from runtime.services.secrets.envelope import Binding, Unopenable
from runtime.services.secrets.keyring import KeyInVault
from runtime.services.secrets.ports import EncryptionKeyView, ProviderKeyView, Reencryption
from runtime.services.secrets.spec import EncryptionSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runtime.services.secrets.adapters.sql import ProviderKeyTable
    from runtime.services.secrets.sealing import Sealer

T = TypeVar("T")

logger = logging.getLogger("runtime.secrets")

SHORTEST, LONGEST = 8, 4096
"""Characters of a key."""
PAGE: Final = 100
TRIES: Final = 5
AGAIN: Final = 10.0
"""Seconds until re-encryption goes on after the database or Vault was away."""


class ProviderKeyStore:
    """Implements `ProviderKeys`.

    Args:
        table: where they are stored.
        sealer: encrypts and decrypts.
        providers: the names of the providers that the spec declares.
        learn: called with each key that passes through, so that it is masked wherever it may be printed.
    """

    def __init__(
        self, table: ProviderKeyTable, sealer: Sealer, providers: Sequence[str], learn: Callable[[Iterable[str]], None]
    ) -> None:
        self._table = table
        self._sealer = sealer
        self._providers = providers
        self._learn = learn
        self._wanted = anyio.Event()
        self._running = False
        self._done = 0
        self._failed = 0
        self._active = ""

    async def start(self) -> None:
        """Begins where an earlier process has left off: what is under other keys is brought under the active one."""
        self._wanted.set()

    async def stop(self) -> None:
        """What is not re-encrypted yet is at the next start."""

    async def watch(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted = anyio.Event()
            try:
                await self._reencrypt()
            except Fault as fault:
                logger.warning("re-encryption goes on later: %s", fault.message)
                with anyio.move_on_after(AGAIN):
                    await self._wanted.wait()
                self._wanted.set()

    async def update(self, fields: Mapping[str, Any]) -> None:
        """Takes other keys; those that they replace are still read, until all is under the active one."""
        self._sealer.ring.adopt(EncryptionSpec.model_validate(fields["encryption"]))
        self._wanted.set()

    async def health(self) -> Health:
        details = {"active": self._sealer.ring.active.name, "reencrypting": self._running, "failed": self._failed}
        if self._failed:
            return Health("degraded", f"{self._failed} stored keys cannot be decrypted", details)
        return Health(details=details)

    async def store(self, user: str, provider: str, key: str) -> ProviderKeyView:
        self._require_provider(provider)
        _require_key(key)
        self._learn([key])
        for _ in range(TRIES):
            known, now = await self._table.get(user, provider), datetime.now(UTC)
            id_ = known.id if known is not None else secrets.token_hex(16)
            sealed = await self._blocking(partial(self._sealer.seal, key, Binding(user, provider, id_)))
            record = Record(id_, user, provider, *sealed, known.created if known is not None else now, now)
            if known is None and await self._table.put(record):
                return self._view(record)
            if known is not None and await self._table.replace(record, known.value, touched=True):
                return self._view(record)
        raise Conflict("the key is being stored by others at the same time", remedy="Try again.")

    async def view(self, user: str, provider: str) -> ProviderKeyView:
        return self._view(await self._known(user, provider))

    async def delete(self, user: str, provider: str) -> None:
        self._require_provider(provider)
        await self._table.delete(user, provider)

    async def reveal(self, user: str, provider: str) -> str | None:
        record = await self._table.get(user, provider)
        if record is None:
            return None
        key = await self._opened(record)
        self._learn([key])
        if record.label != await self._label():
            await self._renewed(record, key)
        return key

    async def keys(self) -> Sequence[EncryptionKeyView]:
        ring, counts = self._sealer.ring, Counter[str]()
        for label, count in (await self._table.counts()).items():
            counts[label.partition("/")[0]] += count
        found = [
            EncryptionKeyView(key.name, key.kind, key.name == ring.active.name, counts.pop(key.name, 0), True)
            for key in ring.declared
        ]
        return found + [EncryptionKeyView(name, "unknown", False, count, False) for name, count in counts.items()]

    async def reencrypt(self, *, rotate: bool = False) -> Reencryption:
        active = self._sealer.ring.active
        if rotate:
            if not isinstance(active, KeyInVault):
                raise Conflict(
                    f'the active key "{active.name}" is not in Vault, so it cannot be rotated there',
                    remedy="Add a key under secrets.encryption.keys, name it in `active`, and apply the spec.",
                )
            await self._blocking(active.rotate)
        self._wanted.set()
        return await self.progress()

    async def progress(self) -> Reencryption:
        label = await self._label()
        left = sum(count for each, count in (await self._table.counts()).items() if each != label)
        return Reencryption(self._sealer.ring.active.name, self._running, self._done, left, self._failed)

    # -- in the background -------------------------------------------------------------------------------------------

    async def _reencrypt(self) -> None:
        """Brings every record under the active key; the records themselves say how far it is."""
        label, after = await self._label(), ""
        self._running, self._done, self._failed = True, 0, 0
        try:
            while page := await self._table.under_others(label, after=after, limit=PAGE):
                for record in page:
                    await self._bring(record)
                after = page[-1].id
        finally:
            self._running = False
        if self._done or self._failed:
            logger.info("%d stored keys re-encrypted, %d failed", self._done, self._failed, extra={"key": label})

    async def _bring(self, record: Record) -> None:
        try:
            key = await self._opened(record)
        except Unreachable:
            raise
        except Fault as fault:
            self._failed += 1
            logger.error("%s", fault.message)
        else:
            self._done += await self._renewed(record, key)

    async def _renewed(self, record: Record, key: str) -> bool:
        """Stores a record anew under the active key; false where its user has replaced it meanwhile."""
        sealed = await self._blocking(lambda: self._sealer.seal(key, _binding(record)))
        fresh = record._replace(value=sealed.text, label=sealed.label)
        return await self._table.replace(fresh, record.value, touched=False)

    async def _opened(self, record: Record) -> str:
        try:
            return await self._blocking(lambda: self._sealer.open(record.value, _binding(record)))
        except Unopenable as error:
            raise Fault(
                f"the stored key {record.id} for {record.provider} cannot be decrypted: {error.reason}",
                remedy="Bring its encryption key back under secrets.encryption.keys, or let its user store it again.",
            ) from error

    async def _label(self) -> str:
        return await self._blocking(self._sealer.ring.active.active_label)

    async def _blocking(self, call: Callable[[], T]) -> T:
        """Calls in a thread where Vault is asked.

        Raises:
            Unreachable: Vault does not answer, or refuses.
        """
        if not self._sealer.ring.blocks:
            return call()
        try:
            return await anyio.to_thread.run_sync(call)
        except VaultFault as fault:
            raise Unreachable("secrets", "Vault", fault.reason, remedy="Try again when it answers.") from fault

    async def _known(self, user: str, provider: str) -> Record:
        self._require_provider(provider)
        record = await self._table.get(user, provider)
        if record is None:
            raise NotFound(f"you have stored no key for {provider}", remedy=f"PUT /v1/provider-keys/{provider}")
        return record

    def _require_provider(self, provider: str) -> None:
        if provider not in self._providers:
            raise unknown("provider", provider, self._providers)

    def _view(self, record: Record) -> ProviderKeyView:
        return ProviderKeyView(record.provider, record.created, record.updated, record.label.partition("/")[0])


def _binding(record: Record) -> Binding:
    return Binding(record.subject, record.provider, record.id)


def _require_key(key: str) -> None:
    if not SHORTEST <= len(key) <= LONGEST or not all("!" <= character <= "~" for character in key):
        said = f"{SHORTEST} to {LONGEST} printable ASCII characters without spaces"
        raise Invalid("this is no key of a provider", errors=[Pointer("/key", said)])
