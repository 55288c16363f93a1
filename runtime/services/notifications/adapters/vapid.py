"""The keys by which push services know an application server (VAPID, RFC 8292): EC P-256, in PEM files.

A browser binds a subscription to the public key that it was made with. So a key that is replaced goes on signing for
the subscriptions that were made with it, until none is left.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from base64 import urlsafe_b64encode
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from runtime.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class VapidKey:
    """A key.

    Args:
        id: a digest of its public half; it is kept with each subscription.
        public: the uncompressed point in base 64, what a browser calls `applicationServerKey`.
    """

    id: str
    public: str
    private: ec.EllipticCurvePrivateKey

    @classmethod
    def of(cls, private: ec.EllipticCurvePrivateKey) -> VapidKey:
        point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return cls(_base64(hashlib.sha256(point).digest()), _base64(point), private)


class VapidKeys:
    """The key that new subscriptions are made with, and those of older ones.

    Args:
        file: the current key's; made where there is none.
        previous: files of keys that were replaced.

    Raises:
        Fault: a file is no P-256 key, cannot be read, or a replaced key is missing.
    """

    def __init__(self, file: Path, previous: Sequence[Path] = ()) -> None:
        if not file.exists():
            _make(file)
        self.current = _read(file)
        self._known: Mapping[str, VapidKey] = {
            key.id: key for key in (self.current, *(_read(each) for each in previous))
        }

    def find(self, id_: str) -> VapidKey | None:
        """A key by its id."""
        return self._known.get(id_)

    def by_public(self, public: str) -> VapidKey | None:
        """A key by its public half, as a browser has it."""
        return next((key for key in self._known.values() if key.public == public.rstrip("=")), None)


def _read(file: Path) -> VapidKey:
    try:
        private = load_pem_private_key(file.read_bytes(), None)
    except OSError as error:
        raise Fault(
            f"the VAPID key {file} cannot be read: {error.strerror}",
            remedy="Correct `vapid` of the channel, or give the file to the user that runs this.",
        ) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Fault(f"{file} is no private key in PEM without a password", remedy="Give a P-256 key.") from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise Fault(
            f"{file} is no P-256 key, as VAPID needs one",
            remedy="Make one: openssl ecparam -name prime256v1 -genkey -noout",
        )
    return VapidKey.of(private)


def _make(file: Path) -> None:
    """Writes a new key, whole or not at all; of two processes that do so the first one's stays."""
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(pem)
            opened.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(draft, file)
        draft.unlink()
    except OSError as error:
        raise Fault(f"the VAPID key {file} cannot be written: {error.strerror}") from error


def _base64(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()
