"""What other services may use of the secrets: views without values, and users' own keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from runtime.spec.origins import OriginKind


@dataclass(frozen=True, slots=True)
class SecretView:
    """A source of secrets as an operator sees it; never a value.

    Args:
        name: the name under `secrets.vault.paths`, a raw path, a file or a variable.
        source: the kind of source.
        path: where it is read: the path at Vault, the file.
        used_by: the fields of the spec that it stands in.
        version: Vault's version of it.
        written: when this version was written; None where the source does not say.
        age: seconds since then.
        lease: seconds that its lease still lasts; None where it has none.
        on_rotate: what those who use it do when it changes.
        status: `fresh`; `stale` where it could not be confirmed lately.
        problem: why it is stale.
    """

    name: str
    source: OriginKind
    path: str
    used_by: list[str]
    version: str | None
    written: datetime | None
    age: float | None
    lease: float | None
    on_rotate: Literal["reconnect", "restart", "ignore"]
    status: Literal["fresh", "stale"]
    problem: str | None


class Secrets(Protocol):
    """The sources of secrets, for whoever looks after them."""

    def views(self) -> Sequence[SecretView]:
        """Every source that the spec uses."""
        ...

    async def refresh(self, name: str) -> SecretView:
        """Looks at a source now; what has changed reaches those who use it.

        Raises:
            NotFound: the spec uses no such source.
            Unreachable: Vault does not answer; known values are kept.
        """
        ...


@dataclass(frozen=True, slots=True)
class ProviderKeyView:
    """A user's own key of a provider; never the key.

    Args:
        provider: the provider's name in the spec.
        created: when it was first stored.
        updated: when it was last replaced by its user.
        encrypted_with: the encryption key that it is kept under.
    """

    provider: str
    created: datetime
    updated: datetime
    encrypted_with: str


@dataclass(frozen=True, slots=True)
class EncryptionKeyView:
    """A key that users' keys are encrypted with; never the key.

    Args:
        name: its name under `secrets.encryption.keys`.
        kind: kept in the spec's sources, or inside Vault.
        active: whether what is stored from now on is encrypted with it.
        records: how many stored keys are encrypted with it.
        declared: whether the spec still has it.
    """

    name: str
    kind: Literal["local", "transit", "unknown"]
    active: bool
    records: int
    declared: bool


@dataclass(frozen=True, slots=True)
class Reencryption:
    """How far the re-encryption under the active key is.

    Args:
        active: the key that all records are brought to.
        running: whether it is under way in this process.
        done: records that this run has re-encrypted.
        left: records that are still under other keys.
        failed: records that could not be decrypted; they are left alone.
    """

    active: str
    running: bool
    done: int
    left: int
    failed: int


class ProviderKeys(Protocol):
    """Users' own keys of AI providers, encrypted at rest."""

    async def store(self, user: str, provider: str, key: str) -> ProviderKeyView:
        """Stores a key, in place of an earlier one.

        Raises:
            NotFound: the spec has no such provider.
            Invalid: this can be no key.
            Unreachable: the database or Vault does not answer.
        """
        ...

    async def view(self, user: str, provider: str) -> ProviderKeyView:
        """What is known of a stored key.

        Raises:
            NotFound: the user has stored none.
        """
        ...

    async def delete(self, user: str, provider: str) -> None:
        """Forgets a key; nothing happens where there is none."""
        ...

    async def reveal(self, user: str, provider: str) -> str | None:
        """The key itself, for the call that it pays for; None where the user has stored none.

        Raises:
            Fault: it cannot be decrypted.
            Unreachable: the database or Vault does not answer.
        """
        ...

    async def keys(self) -> Sequence[EncryptionKeyView]:
        """The encryption keys, with how much each of them holds."""
        ...

    async def reencrypt(self, *, rotate: bool = False) -> Reencryption:
        """Begins to bring all records under the active key, in the background.

        Args:
            rotate: gives an active key of Vault's transit engine a new version first.
        """
        ...

    async def progress(self) -> Reencryption:
        """How far that is."""
        ...
