"""Encrypts and decrypts users' keys: a data key for each record, wrapped by a key of the ring."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runtime.services.secrets.adapters.ciphers import CIPHERS, open_unauthenticated, random
from runtime.services.secrets.envelope import Envelope, Unopenable, decode, is_envelope

if TYPE_CHECKING:
    from runtime.services.secrets.envelope import Binding
    from runtime.services.secrets.keyring import KeyRing


class Sealed(NamedTuple):
    """What is stored of a record.

    Args:
        text: the envelope.
        label: the key that it is under, with its mark or version.
    """

    text: str
    label: str


class Sealer:
    """Seals and opens.

    Args:
        ring: the keys.

    Example:
        >>> sealed = sealer.seal("sk-live-1", Binding("user:7", "openai", "r1"))          # doctest: +SKIP
        >>> sealer.open(sealed.text, Binding("user:7", "openai", "r1"))                   # doctest: +SKIP
        'sk-live-1'
    """

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring

    def seal(self, plaintext: str, binding: Binding) -> Sealed:
        """Encrypts a text under the active key.

        Raises:
            VaultFault: the key is in Vault, and that does not answer.
        """
        key, name = self.ring.active, self.ring.spec.cipher
        cipher = CIPHERS[name]
        data_key, nonce = random(cipher.key_size), random(cipher.nonce_size)
        empty = Envelope(name, key.name, key.mark, b"", nonce, b"")
        wrapped = key.wrap(name, data_key, empty.associated(binding, "key"))
        sealed = cipher.seal(data_key, nonce, plaintext.encode(), empty.associated(binding, "record"))
        return Sealed(empty._replace(wrapped=wrapped, sealed=sealed).encode(), key.label(wrapped))

    def open(self, text: str, binding: Binding) -> str:
        """Decrypts a text that was sealed for the same user, provider and record.

        Raises:
            Unopenable: it was changed or moved, or its key is not known.
            VaultFault: the key is in Vault, and that does not answer.
        """
        if not is_envelope(text):
            return open_unauthenticated(self.ring.unauthenticated(), text)
        envelope = decode(text)
        key, cipher = self.ring.find(envelope.key, envelope.mark), CIPHERS[envelope.cipher]
        data_key = key.unwrap(envelope.cipher, envelope.wrapped, envelope.associated(binding, "key"))
        if len(data_key) != cipher.key_size:
            raise Unopenable("its data key is of another cipher")
        associated = envelope.associated(binding, "record")
        return cipher.open(data_key, envelope.nonce, envelope.sealed, associated).decode()

    def label(self, text: str) -> str:
        """The key that a stored text is under; `unauthenticated` for the form of an earlier system."""
        if not is_envelope(text):
            return UNAUTHENTICATED
        envelope = decode(text)
        return self.ring.find(envelope.key, envelope.mark).label(envelope.wrapped)


UNAUTHENTICATED = "unauthenticated"
"""The label of values in the form of an earlier system."""
