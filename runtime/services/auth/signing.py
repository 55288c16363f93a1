"""The keys that access tokens are signed with, and their rotation.

A key lies in a file `<from>-<kid>.pem`, mode 0600, where `<from>` is the second from which it signs. So the state of
every key follows from the names in the folder and the time alone, and all processes on a folder agree:

    published   its second is still to come: verifiers learn of it before the first token that it signs
    active      the newest whose second has come: it signs
    retired     an older one, until the last token that it signed has run out; then its file is removed
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal

import anyio.to_thread
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from runtime.errors import Conflict, Fault
from runtime.services.auth.jwk import public_jwk, thumbprint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

logger = logging.getLogger("runtime.auth")

BITS: Final = 2048
PUBLISHED: Final = 300.0
"""Seconds for which a new key is published before it signs: as long as verifiers may keep the list of keys."""

State = Literal["published", "active", "retired"]

_NAME: Final = re.compile(r"([0-9]{10,12})-([A-Za-z0-9_-]{43})\.pem")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key.

    Args:
        kid: the thumbprint of its public half (RFC 7638).
        since: Unix time from which it signs.
    """

    kid: str
    private: rsa.RSAPrivateKey
    since: float

    @property
    def public(self) -> rsa.RSAPublicKey:
        return self.private.public_key()

    @classmethod
    def of(cls, pem: bytes, since: float, source: str) -> SigningKey:
        """A key from its PEM.

        Raises:
            Fault: it is none, needs a password, is no RSA key, or is shorter than 2048 bits.
        """
        try:
            private = load_pem_private_key(pem, None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise Fault(f"{source} is no private key in PEM without a password", remedy="Give an RSA key.") from error
        if not isinstance(private, rsa.RSAPrivateKey) or private.key_size < BITS:
            raise Fault(f"{source} is no RSA key of at least {BITS} bits", remedy=f"openssl genrsa {BITS}")
        return cls(thumbprint(private.public_key()), private, since)


class KeyRing:
    """The signing keys of an environment.

    Args:
        folder: where they are; unused where `given`.
        keep: seconds for which a retired key still verifies: the life of a token and the leeway.
        given: PEMs from the spec, the active one first; nothing is rotated then but by a change of the spec.

    Example:
        >>> ring = KeyRing(state.path / "keys", keep=1020)                                    # doctest: +SKIP
        >>> await ring.open()                                                                 # doctest: +SKIP
        >>> ring.active.kid, len(ring.jwks()["keys"])                                         # doctest: +SKIP
    """

    def __init__(self, folder: Path, *, keep: float, given: Sequence[tuple[str, str]] = ()) -> None:
        self._folder = folder
        self._keep = keep
        self._fixed = bool(given)
        self._keys: dict[str, SigningKey] = {}
        self._newest_first: list[SigningKey] = []
        found = [SigningKey.of(pem.encode(), float(-place), source) for place, (source, pem) in enumerate(given)]
        self._hold({key.kid: key for key in reversed(found)})

    async def open(self) -> None:
        """Reads the keys; makes the first one where there is none.

        Raises:
            Fault: a file is no key, others may read it, or the folder cannot be used.
        """
        if self._fixed:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.read()
            if not self._keys:
                await self._make(time.time())
        except OSError as error:
            raise Fault(
                f"the signing keys in {self._folder} cannot be used: {error.strerror or error}",
                remedy="Check that the folder exists and belongs to this user.",
            ) from error

    def read(self) -> None:
        """Learns what other processes have added and removed."""
        if self._fixed:
            return
        found = {}
        for name in os.listdir(self._folder):  # noqa: PTH208 - a third of iterdir's time, every second
            if match := _NAME.fullmatch(name):
                known = self._keys.get(match[2])
                found[match[2]] = known or _load(self._folder / name, match[2], float(match[1]))
        self._hold(found)

    def find(self, kid: str) -> SigningKey | None:
        """The key of a token; the folder is looked at again for one that another process has just made."""
        key = self._keys.get(kid)
        if key is None and not self._fixed:
            with suppress(Fault, OSError):  # said by whoever looks at the folder regularly
                self.read()
            key = self._keys.get(kid)
        return key

    @property
    def active(self) -> SigningKey:
        """The key that signs now."""
        return _active(self._newest_first)

    def _hold(self, keys: dict[str, SigningKey]) -> None:
        self._keys = keys
        self._newest_first = sorted(keys.values(), key=_age, reverse=True)

    def states(self) -> list[tuple[SigningKey, State]]:
        """Every key and what it is for now, the newest first."""
        newest_first = self._newest_first
        place = newest_first.index(_active(newest_first))
        states: list[State] = [*["published"] * place, "active", *["retired"] * (len(newest_first) - place - 1)]  # type: ignore[list-item]
        return list(zip(newest_first, states, strict=True))

    def jwks(self) -> Mapping[str, Any]:
        """The public halves of all of them (RFC 7517)."""
        return {"keys": [public_jwk(key.kid, key.public) for key, _ in self.states()]}

    async def rotate(self, *, compromised: bool = False) -> tuple[SigningKey, list[str]]:
        """Makes the next key.

        Args:
            compromised: it signs at once, and the tokens of all others are refused from now on.

        Returns:
            The key, and the kids of those that are removed.

        Raises:
            Conflict: the keys come from the spec, or the next one is published already.
        """
        if self._fixed:
            raise Conflict(
                "the signing keys come from the spec",
                remedy="Change auth.jwt.signing_key, name the present one in previous_key, and apply.",
            )
        self.read()
        now = time.time()
        if compromised:
            old = list(self._keys)
            made = await self._make(now)
            self._remove(old)
            return made, old
        if any(key.since > now for key in self._keys.values()):
            raise Conflict("the next signing key is published and about to sign", remedy="Wait until it does.")
        return await self._make(now + PUBLISHED), []

    def sweep(self) -> None:
        """Removes retired keys whose last token has run out."""
        if self._fixed:
            return
        now = time.time()
        over = [older.kid for newer, older in pairwise(self._newest_first) if newer.since + self._keep < now]
        self._remove(over)

    async def _make(self, since: float) -> SigningKey:
        private = await anyio.to_thread.run_sync(rsa.generate_private_key, 65537, BITS)
        key = SigningKey(thumbprint(private.public_key()), private, float(int(since)))
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _write(self._folder / f"{int(since)}-{key.kid}.pem", pem)
        self._hold({**self._keys, key.kid: key})
        logger.info("a signing key was made", extra={"kid": key.kid, "signs_from": int(since)})
        return key

    def _remove(self, kids: Sequence[str]) -> None:
        for kid in kids:
            key = self._keys[kid]
            (self._folder / f"{int(key.since)}-{kid}.pem").unlink(missing_ok=True)
        self._hold({kid: key for kid, key in self._keys.items() if kid not in kids})


def _active(newest_first: Sequence[SigningKey]) -> SigningKey:
    """The newest whose time has come; the oldest, where none has."""
    now = time.time()
    return next((key for key in newest_first if key.since <= now), newest_first[-1])


def _age(key: SigningKey) -> tuple[float, str]:
    return key.since, key.kid


def _load(path: Path, kid: str, since: float) -> SigningKey:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise Fault(
            f"the signing key {path} may be read by others (mode {mode:04o})",
            remedy=f"Has nobody seen it: chmod 600 {path}. Else delete it.",
        )
    key = SigningKey.of(path.read_bytes(), since, str(path))
    if key.kid != kid:
        raise Fault(f"the signing key {path} is not the one that its name says", remedy="Delete it.")
    return key


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: another process may read the folder at any moment."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
