"""The ciphers of stored keys, by the `cryptography` library."""

from __future__ import annotations

import hashlib
import hmac
import os
from base64 import b64decode
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher as Aes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.padding import PKCS7

from runtime.services.secrets.envelope import CipherName, Unopenable

NONCE: Final = 12
IV: Final = 16
TAG: Final = 16
MAC: Final = 32
KEY: Final = 32


class Cipher(Protocol):
    """Authenticated encryption with associated data.

    Args:
        key_size: bytes of a key.
        nonce_size: bytes of what it is begun with.
    """

    key_size: int
    nonce_size: int

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        """The ciphertext, followed by the tag."""
        ...

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        """The plaintext.

        Raises:
            Unopenable: key, nonce, ciphertext or associated data is not what it was.
        """
        ...

    def for_wrapping(self, key: bytes) -> bytes:
        """The key of this cipher that follows from an encryption key of 32 bytes."""
        ...


class Gcm:
    """AES-256-GCM, NIST SP 800-38D, with nonces of 96 bits and tags of 128."""

    key_size = KEY
    nonce_size = NONCE

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        return AESGCM(key).encrypt(nonce, plaintext, associated)

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        if len(nonce) != NONCE or len(sealed) < TAG:
            raise Unopenable("it is not whole")
        try:
            return AESGCM(key).decrypt(nonce, sealed, associated)
        except InvalidTag as error:
            raise Unopenable("it was changed, or belongs to another record") from error

    def for_wrapping(self, key: bytes) -> bytes:
        return key


class CbcHmac:
    """AES-256-CBC and HMAC-SHA-512, encrypt then MAC: AEAD_AES_256_CBC_HMAC_SHA_512 of RFC 7518, section 5.2."""

    key_size = 2 * KEY
    nonce_size = IV

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        padder = PKCS7(8 * IV).padder()
        encryptor = Aes(AES(key[KEY:]), CBC(nonce)).encryptor()
        padded = padder.update(plaintext) + padder.finalize()
        ciphertext = encryptor.update(padded) + encryptor.finalize()
        return ciphertext + _mac(key[:KEY], nonce, ciphertext, associated)

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        ciphertext, mac = sealed[:-MAC], sealed[-MAC:]
        if len(nonce) != IV or len(mac) != MAC:
            raise Unopenable("it is not whole")
        if not hmac.compare_digest(mac, _mac(key[:KEY], nonce, ciphertext, associated)):
            raise Unopenable("it was changed, or belongs to another record")
        return _unpadded(key[KEY:], nonce, ciphertext)

    def for_wrapping(self, key: bytes) -> bytes:
        return HKDF(SHA512(), 2 * KEY, None, b"runtime: wrapping of data keys").derive(key)


def _mac(key: bytes, iv: bytes, ciphertext: bytes, associated: bytes) -> bytes:
    text = associated + iv + ciphertext + (8 * len(associated)).to_bytes(8, "big")
    return hmac.digest(key, text, hashlib.sha512)[:MAC]


def _unpadded(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    if not ciphertext or len(ciphertext) % IV:
        raise Unopenable("it is not whole")
    decryptor = Aes(AES(key), CBC(iv)).decryptor()
    unpadder = PKCS7(8 * IV).unpadder()
    try:
        padded = decryptor.update(ciphertext) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError as error:
        raise Unopenable("the key does not fit, or it is damaged") from error


CIPHERS: Final[dict[CipherName, Cipher]] = {"aes-256-gcm": Gcm(), "aes-256-cbc-hmac": CbcHmac()}


def open_unauthenticated(key: bytes, text: str) -> str:
    """Reads the form of an earlier system: `base64(iv ‖ ciphertext)`, AES-256-CBC without a MAC.

    Nothing in it tells whether it was changed. What comes out is taken only if it can be a key at all: printable ASCII.

    Raises:
        Unopenable: it is damaged, or the key does not fit.
    """
    try:
        raw = b64decode(text, validate=True)
    except ValueError as error:
        raise Unopenable("it is neither an envelope nor base64") from error
    plaintext = _unpadded(key, raw[:IV], raw[IV:])
    if not plaintext or not all(33 <= byte < 127 for byte in plaintext):
        raise Unopenable("the key does not fit, or it is damaged")
    return plaintext.decode("ascii")


def random(size: int) -> bytes:
    """Bytes that nobody can guess."""
    return os.urandom(size)
