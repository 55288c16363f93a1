"""The keys by which push services know an application server (VAPID, RFC 8292): EC P-256, in PEM files.

A browser binds a subscription to the public key that it was made with. So a key that is replaced goes on signing for
the subscriptions that were made with it, until none is left.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import secrets
from base64 import urlsafe_b64encode
from contextlib import contextmanager, suppress
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
    from collections.abc import Iterator, Sequence
    from pathlib import Path

logger = logging.getLogger("runtime.notifications")


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

    Several processes may share the files: what one of them rotates, the others notice when they need it.

    Args:
        file: the current key's; made where there is none. Keys that were rotated lie beside it, `<name>-<id>.pem`.
        previous: files of further keys that were replaced.

    Raises:
        Fault: a file is no P-256 key, cannot be read, or a replaced key is missing.
    """

    def __init__(self, file: Path, previous: Sequence[Path] = ()) -> None:
        self._file = file
        if not file.exists():
            _make(file)
        self._seen, self._current = _stamp(file), _read(file)
        self._known = {key.id: key for key in map(_read, (*previous, *self._beside()))}
        self._known[self._current.id] = self._current

    @property
    def current(self) -> VapidKey:
        """The key for new subscriptions; another one as soon as its file is."""
        if (stamp := _stamp(self._file)) not in (None, self._seen):
            self._seen = stamp
            try:
                self._current = _read(self._file)
            except Fault as error:
                logger.error("the VAPID key was replaced by a file that cannot be used: %s", error.message)
            self._known[self._current.id] = self._current
        return self._current

    def find(self, id_: str) -> VapidKey | None:
        """A key by its id."""
        if id_ not in self._known and self.current.id != id_:
            self._look_beside()
        return self._known.get(id_)

    def by_public(self, public: str) -> VapidKey | None:
        """A key by its public half, as a browser has it."""
        point = public.rstrip("=")
        if self.current.public == point:
            return self._current
        self._look_beside()
        return next((key for key in self._known.values() if key.public == point), None)

    def rotate(self) -> VapidKey:
        """Makes a new current key, and keeps the file of the one before beside it.

        Raises:
            Fault: the files cannot be written.
        """
        with _alone(self._file):
            old = self.current
            try:
                with suppress(FileExistsError):
                    os.link(self._file, self._file.with_name(f"{self._file.stem}-{old.id[:16]}.pem"))
            except OSError as error:
                raise _unwritable(self._file, error) from error
            _make(self._file, anew=True)
        return self.current

    def _beside(self) -> Iterator[Path]:
        return self._file.parent.glob(f"{self._file.stem}-*.pem")

    def _look_beside(self) -> None:
        for each in self._beside():
            with suppress(Fault):  # whoever put it there will be told at the next start
                key = _read(each)
                self._known.setdefault(key.id, key)


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


def _make(file: Path, *, anew: bool = False) -> None:
    """Writes a new key, whole or not at all; of two processes that do so the first one's stays, unless it is `anew`."""
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(pem)
            opened.flush()
            os.fsync(descriptor)
        if anew:
            draft.replace(file)
            return
        with suppress(FileExistsError):
            os.link(draft, file)
        draft.unlink()
    except OSError as error:
        raise _unwritable(file, error) from error


def _unwritable(file: Path, error: OSError) -> Fault:
    return Fault(
        f"the VAPID key {file} cannot be written: {error.strerror}",
        remedy="Replace the file yourself, and name the old one in `vapid.previous`.",
    )


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Holds off other processes that rotate the same key."""
    try:
        descriptor = os.open(file.with_name(f".{file.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(file, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _stamp(file: Path) -> tuple[int, int] | None:
    """What changes when a file is replaced; None where it is not there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _base64(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()
