"""The keys that users' keys are encrypted with: one that is active, and those that are still needed for reading.

When the text of a key changes under its name, its former self stays in a slot for reading until the process ends; by
then the background work has brought every record to the new one.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode
from typing import TYPE_CHECKING, Final, Literal, Protocol

from runtime.errors import Fault
from runtime.services.secrets.adapters.ciphers import CIPHERS, KEY, random
from runtime.services.secrets.envelope import Unopenable
from runtime.services.secrets.spec import TransitKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import SecretStr

    from runtime.services.secrets.envelope import CipherName
    from runtime.services.secrets.spec import EncryptionSpec
    from runtime.services.secrets.store import VaultStore

TRANSIT: Final = "transit"
_MARK_BYTES: Final = 6


class EncryptionKey(Protocol):
    """A key that encrypts data keys.

    Args:
        name: its name in the spec.
        mark: tells keys of one name apart.
        kind: where it is.
    """

    name: str
    mark: str
    kind: Literal["local", "transit"]

    def wrap(self, cipher: CipherName, data_key: bytes, associated: bytes) -> bytes: ...

    def unwrap(self, cipher: CipherName, wrapped: bytes, associated: bytes) -> bytes:
        """The data key.

        Raises:
            Unopenable: it was changed, or is not of this key.
            VaultFault: the key is in Vault, and that does not answer.
        """
        ...

    def label(self, wrapped: bytes) -> str:
        """What a record is listed under: key, mark, and for transit the version inside Vault."""
        ...

    def active_label(self) -> str:
        """The label of what it encrypts from now on."""
        ...


class LocalKey:
    """A key of 32 bytes that the spec's sources hold.

    Args:
        name: its name in the spec.
        key: its bytes.
    """

    kind: Literal["local", "transit"] = "local"

    def __init__(self, name: str, key: bytes) -> None:
        self.name = name
        self.mark = hashlib.blake2b(key, digest_size=_MARK_BYTES, person=b"runtime-kek").hexdigest()
        self.key = key

    def wrap(self, cipher: CipherName, data_key: bytes, associated: bytes) -> bytes:
        used = CIPHERS[cipher]
        nonce = random(used.nonce_size)
        return nonce + used.seal(used.for_wrapping(self.key), nonce, data_key, associated)

    def unwrap(self, cipher: CipherName, wrapped: bytes, associated: bytes) -> bytes:
        used = CIPHERS[cipher]
        nonce, sealed = wrapped[: used.nonce_size], wrapped[used.nonce_size :]
        return used.open(used.for_wrapping(self.key), nonce, sealed, associated)

    def label(self, wrapped: bytes) -> str:
        return f"{self.name}/{self.mark}"

    def active_label(self) -> str:
        return f"{self.name}/{self.mark}"


class KeyInVault:
    """A key of Vault's transit engine, which never leaves it.

    Args:
        name: its name in the spec.
        spec: its name at Vault.
        store: our session at Vault.
    """

    kind: Literal["local", "transit"] = "transit"

    def __init__(self, name: str, spec: TransitKey, store: VaultStore) -> None:
        self.name = name
        self.mark = TRANSIT
        self._spec = spec
        self._store = store

    def wrap(self, cipher: CipherName, data_key: bytes, associated: bytes) -> bytes:
        spec = self._spec
        return self._store.call(lambda vault: vault.encrypt(spec.mount, spec.transit, data_key, associated)).encode()

    def unwrap(self, cipher: CipherName, wrapped: bytes, associated: bytes) -> bytes:
        from runtime.services.secrets.backend import VaultFault

        spec = self._spec
        try:
            text = wrapped.decode("ascii")
            return self._store.call(lambda vault: vault.decrypt(spec.mount, spec.transit, text, associated))
        except UnicodeDecodeError as error:
            raise Unopenable("it is damaged") from error
        except VaultFault as fault:
            if fault.kind == "refused":
                raise Unopenable("Vault does not open it: it was changed, or belongs to another record") from fault
            raise

    def label(self, wrapped: bytes) -> str:
        version = wrapped.split(b":", 2)[1].decode("ascii", "replace") if wrapped.count(b":") >= 2 else "?"
        return f"{self.name}/{TRANSIT}/{version}"

    def active_label(self) -> str:
        spec = self._spec
        version = self._store.call(lambda vault: vault.key_version(spec.mount, spec.transit))
        return f"{self.name}/{TRANSIT}/v{version}"

    def rotate(self) -> None:
        """Gives it a new version inside Vault; older ones still decrypt."""
        spec = self._spec
        self._store.call(lambda vault: vault.rotate(spec.mount, spec.transit))


class KeyRing:
    """All keys of a spec.

    Args:
        spec: the section `secrets.encryption`, its references resolved.
        store: our session at Vault, for keys that are there.

    Raises:
        Fault: a key is none, or wants Vault where the spec has none.
    """

    def __init__(self, spec: EncryptionSpec, store: VaultStore | None) -> None:
        self._store = store
        self._former: list[EncryptionKey] = []
        self._keys: dict[str, EncryptionKey] = {}
        self.adopt(spec)

    def adopt(self, spec: EncryptionSpec) -> None:
        """Takes the keys of a section; those that they replace stay for reading."""
        keys = {name: self._made(name, key) for name, key in spec.keys.items()}
        marks = {(key.name, key.mark) for key in keys.values()}
        self._former += [key for key in self._keys.values() if (key.name, key.mark) not in marks]
        self._keys, self.spec = keys, spec

    @property
    def active(self) -> EncryptionKey:
        return self._keys[self.spec.active]

    @property
    def declared(self) -> Iterable[EncryptionKey]:
        return self._keys.values()

    @property
    def blocks(self) -> bool:
        """Whether its use may take as long as a call to Vault."""
        return any(isinstance(key, KeyInVault) for key in self._keys.values())

    def find(self, name: str, mark: str) -> EncryptionKey:
        """The key that an envelope names; also one that has got another name since.

        Raises:
            Unopenable: there is none.
        """
        known = [*self._keys.values(), *self._former]
        for key in known:
            if (key.name, key.mark) == (name, mark):
                return key
        for key in known:
            if mark != TRANSIT and hmac.compare_digest(key.mark.encode(), mark.encode()):
                return key
        why = "another key has its name now" if name in self._keys else "secrets.encryption.keys has no such key"
        raise Unopenable(f'it was encrypted with "{name}" ({mark}), and {why}')

    def unauthenticated(self) -> bytes:
        """The key with which values of an earlier system are read.

        Raises:
            Unopenable: the spec names none.
        """
        key = self._keys.get(self.spec.legacy or "")
        if not isinstance(key, LocalKey):
            raise Unopenable("it is no envelope, and secrets.encryption.legacy names no key for such values")
        return key.key

    def _made(self, name: str, key: SecretStr | TransitKey) -> EncryptionKey:
        if not isinstance(key, TransitKey):
            return LocalKey(name, key_bytes(key.get_secret_value(), name))
        if self._store is None:
            raise Fault(
                f"secrets.encryption.keys.{name}: it is in Vault, and there is no section secrets.vault",
                remedy="Declare secrets.vault, or give the key as a reference.",
            )
        return KeyInVault(name, key, self._store)


def key_bytes(text: str, name: str) -> bytes:
    """The 32 bytes of a key that is written in base64 or in hexadecimal digits.

    Raises:
        Fault: it is none.
    """
    text = text.strip()
    raw = b""
    try:
        raw = bytes.fromhex(text) if len(text) == 2 * KEY else b64decode(_standard(text), validate=True)
    except (ValueError, binascii.Error):
        pass
    if len(raw) != KEY:
        raise Fault(
            f"secrets.encryption.keys.{name}: this is no key: {KEY} bytes in base64 or in hexadecimal digits",
            remedy="`runtime keys create` makes one.",
        )
    return raw


def _standard(text: str) -> str:
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    return plain + "=" * (-len(plain) % 4)
