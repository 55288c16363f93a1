"""The operator's key: made at the first start, good for everything, kept in a file that only its owner may
read.

It is how the first accounts and API keys are made. Its form is `rt_`, 43 characters of 32 random bytes,
and 6 characters of a checksum, by which a scanner tells a leaked key from noise and a mistyped one is
refused without a look-up.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Final

from runtime.errors import Fault
from runtime.http.access import ADMIN, Caller

PREFIX: Final = "rt_"
_RANDOM: Final = 32
_LENGTH: Final = len(PREFIX) + 43 + 6


def new_key() -> str:
    """A fresh random key."""
    body = urlsafe_b64encode(secrets.token_bytes(_RANDOM)).rstrip(b"=").decode()
    return f"{PREFIX}{body}{checksum(body)}"


def well_formed(key: str) -> bool:
    """Whether a text can be a key at all: its form and its checksum are right."""
    if len(key) != _LENGTH or not key.startswith(PREFIX) or not key.isascii():
        return False
    return hmac.compare_digest(key[-6:], checksum(key[len(PREFIX) : -6]))


def checksum(body: str) -> str:
    """Six characters that tell a mistyped key."""
    digest = hashlib.blake2b(body.encode(), digest_size=4, person=b"runtime-key").digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


class OperatorKey:
    """Access by the operator's key alone; implements `Access`.

    Args:
        key: the key itself.

    Example:
        >>> access = OperatorKey.open(state.operator_key)                                     # doctest: +SKIP
    """

    def __init__(self, key: str) -> None:
        self._digest = hashlib.sha256(key.encode()).digest()

    @classmethod
    def open(cls, path: Path) -> OperatorKey:
        """Reads the key, or makes it where there is none yet.

        Args:
            path: `<state folder>/operator.key`.

        Raises:
            Fault: the file is not a key, others may read it, or it cannot be read or written.
        """
        try:
            if not path.exists():
                _create(path)
            return cls(_read(path))
        except OSError as error:
            raise Fault(
                f"the operator's key {path} cannot be used: {error.strerror or error}",
                remedy="Check that the folder exists and belongs to this user.",
            ) from error

    async def caller(self, credential: str, address: str) -> Caller | None:
        """The operator, where the credential is its key."""
        return self.known(credential)

    def known(self, credential: str) -> Caller | None:
        """The operator, where the credential is its key; compared in constant time."""
        if len(credential) != _LENGTH:  # which everybody knows
            return None
        digest = hashlib.sha256(credential.encode("utf-8", "surrogateescape")).digest()
        return _OPERATOR if hmac.compare_digest(digest, self._digest) else None


_OPERATOR: Final = Caller("key:operator", frozenset({ADMIN}))


def _create(path: Path) -> None:
    """Writes a new key beside the place and links it there: whole or not at all, never over another's."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(new_key() + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first: its key counts
    finally:
        draft.unlink(missing_ok=True)


def _read(path: Path) -> str:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise Fault(
            f"the operator's key {path} may be read by others (mode {mode:04o})",
            remedy=f"Has nobody seen it: chmod 600 {path}. Else delete it; the next start makes a new one.",
        )
    key = path.read_text(encoding="ascii", errors="replace").strip()
    if not well_formed(key):
        raise Fault(f"the operator's key {path} is damaged", remedy="Delete it; the next start makes a new one.")
    return key
