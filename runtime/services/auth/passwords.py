"""Passwords: which are taken, how they are kept, and that a wrong account costs as much time as a wrong password."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from base64 import b64encode
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from runtime.errors import Invalid, Pointer

if TYPE_CHECKING:
    from runtime.services.auth.hashing import Hashing
    from runtime.services.auth.spec import PasswordsSpec

LONGEST: Final = 128
_BCRYPT: Final = "bcrypt-sha384"
_NOBODY: Final = "." * 53


class Passwords:
    """Makes and compares hashes.

    With bcrypt, what is hashed is a digest of the password: bcrypt itself would read no more than its first 72 bytes.

    Args:
        spec: `auth.passwords`.
        hashing: where hashes are made.
    """

    def __init__(self, spec: PasswordsSpec, hashing: Hashing) -> None:
        self._spec = spec
        self._hashing = hashing
        memory = max(8, spec.argon2.memory // 1024)
        self._argon2 = PasswordHasher(time_cost=spec.argon2.passes, memory_cost=memory, parallelism=1)
        # Hashes of our cost that no password has.
        if spec.hash == "bcrypt":
            self._nobody = f"{_BCRYPT}$2b${spec.rounds:02d}${_NOBODY}"
        else:
            salt, digest = (b64encode(bytes(size)).decode().rstrip("=") for size in (16, 32))
            self._nobody = f"$argon2id$v=19$m={memory},t={spec.argon2.passes},p=1${salt}${digest}"

    async def require_good(self, password: str, email: str, pointer: str = "/password") -> None:
        """Refuses a password that is too short, too long, or that many others have.

        Raises:
            Invalid: says which.
        """
        shortest = self._spec.min_length
        folded = _normal(password).casefold()
        why = ""
        if not shortest <= len(password) <= LONGEST:
            why = f"{shortest} to {LONGEST} characters"
        elif folded in (email, email.partition("@")[0]):
            why = "another than your address"
        elif await self._hashing.run(lambda: folded in _common()):
            why = "one that is not among the most common ones"
        if why:
            raise Invalid(f"the password must be {why}", errors=[Pointer(pointer, why)])

    async def hashed(self, password: str) -> str:
        """What is kept of a password."""
        return await self._hashing.run(lambda: self._hash(_normal(password)))

    async def fits(self, kept: str | None, password: str) -> bool:
        """Whether a password is the one of a hash; without a hash it is not, after the same time."""
        right = await self._hashing.run(lambda: _fits(kept or self._nobody, _normal(password)))
        return right and kept is not None

    def outdated(self, kept: str) -> bool:
        """Whether a hash was made with another cost or method than the spec's."""
        if self._spec.hash == "bcrypt":
            return not kept.startswith(f"{_BCRYPT}$2b${self._spec.rounds:02d}$")
        try:
            return self._argon2.check_needs_rehash(kept)
        except InvalidHashError:
            return True

    def _hash(self, password: str) -> str:
        if self._spec.hash == "bcrypt":
            return _BCRYPT + bcrypt.hashpw(_digest(password), bcrypt.gensalt(self._spec.rounds)).decode()
        return self._argon2.hash(password)


def _fits(kept: str, password: str) -> bool:
    if kept.startswith(_BCRYPT):
        return bcrypt.checkpw(_digest(password), kept.removeprefix(_BCRYPT).encode())
    try:
        return PasswordHasher().verify(kept, password)
    except (Argon2Error, InvalidHashError):
        return False


def _normal(password: str) -> str:
    """One spelling of what looks the same: keyboards differ in how they write an accent."""
    return unicodedata.normalize("NFC", password)


def _digest(password: str) -> bytes:
    """64 letters: no zero byte, under 72. The label keeps digests leaked elsewhere from being tried here."""
    return b64encode(hmac.digest(b"runtime password", password.encode("utf-8", "surrogatepass"), hashlib.sha384))


@lru_cache(1)
def _common() -> frozenset[str]:
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return frozenset(FREQUENCY_LISTS["passwords"])
