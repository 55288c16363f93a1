"""The form in which a user's key is stored: one line of ASCII that says how to read it.

    v1:aes-256-gcm:k1:5f0c…:<wrapped data key>:<nonce>:<ciphertext and tag>

A data key of its own encrypts each record; the encryption key, which may be inside Vault, encrypts the data key
("envelope encryption", NIST SP 800-57 part 1, 5.1.1 and 6.2.1). What stands in front, together with user, provider and
record, is authenticated as associated data (NIST SP 800-38D): an envelope that was moved to another place opens
nowhere.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, Literal, NamedTuple, get_args
from urllib.parse import quote, unquote

FORMAT: Final = "v1"
LONGEST: Final = 64 * 1024

CipherName = Literal["aes-256-gcm", "aes-256-cbc-hmac"]


class Unopenable(Exception):  # noqa: N818 - an answer, turned into a fault where the record is known
    """An envelope that cannot be opened.

    Args:
        reason: why, without anything of its content.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Binding(NamedTuple):
    """What a record belongs to; the envelope opens for nothing else."""

    user: str
    provider: str
    record: str


class Envelope(NamedTuple):
    """A record at rest.

    Args:
        cipher: how the record is encrypted.
        key: the name of the encryption key.
        mark: tells keys of one name apart: a digest of the key, or `transit`.
        wrapped: the data key, encrypted with the encryption key.
        nonce: what the cipher was begun with.
        sealed: the ciphertext, followed by the tag.
    """

    cipher: CipherName
    key: str
    mark: str
    wrapped: bytes
    nonce: bytes
    sealed: bytes

    def encode(self) -> str:
        """The line that is stored.

        Example:
            >>> Envelope("aes-256-gcm", "k1", "ab", b"w", b"n", b"s").encode()
            'v1:aes-256-gcm:k1:ab:dw:bg:cw'
        """
        return ":".join((*self.header, *map(_text, (self.wrapped, self.nonce, self.sealed))))

    @property
    def header(self) -> tuple[str, ...]:
        return FORMAT, self.cipher, quote(self.key, safe=""), quote(self.mark, safe="")

    def associated(self, binding: Binding, purpose: Literal["key", "record"]) -> bytes:
        """The associated data: each part with its length in front, so that no two lists of parts are one text."""
        parts = (purpose, *self.header, *binding)
        return b"".join(len(raw).to_bytes(4, "big") + raw for raw in (part.encode() for part in parts))


def decode(text: str) -> Envelope:
    """Takes a stored line apart.

    Raises:
        Unopenable: it is damaged, or of a form that this version does not know.
    """
    parts = text.split(":")
    if len(text) > LONGEST or parts[0] != FORMAT:
        raise Unopenable(f"it is not of the form {FORMAT}")
    if len(parts) != 7:
        raise Unopenable("it is not whole")
    _, cipher, key, mark, *encoded = parts
    if cipher not in get_args(CipherName):
        raise Unopenable("it names a cipher that this version does not know")
    wrapped, nonce, sealed = map(_bytes, encoded)
    name: CipherName = "aes-256-gcm" if cipher == "aes-256-gcm" else "aes-256-cbc-hmac"
    return Envelope(name, unquote(key), unquote(mark), wrapped, nonce, sealed)


def is_envelope(text: str) -> bool:
    """Whether a stored value is of our form, rather than of an earlier system's: plain base64 has no colon."""
    return ":" in text


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """The bytes of a part; of all the ways to write them only our own is taken."""
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise Unopenable("it is damaged") from error
    if _text(raw) != text:
        raise Unopenable("it is damaged")
    return raw
