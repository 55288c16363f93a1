"""What the service of secrets needs of a secret server, and how one says that it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["away", "sealed", "garbled", "untrusted", "expired", "denied", "refused", "missing"]

OUT: frozenset[Kind] = frozenset({"away", "sealed", "garbled", "untrusted"})
"""Those after which it makes sense to serve what is known: the server itself does not work."""


class VaultFault(Exception):  # noqa: N818 - an answer of the server, turned into words
    """The server could not be asked, or said no.

    Args:
        kind: what sort of failure it is.
        reason: what and why and what to do, in one line; never a value.
        key: the field of `secrets.vault` that has to do with it.
    """

    def __init__(self, kind: Kind, reason: str, key: str = "address") -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.key = key

    @property
    def out(self) -> bool:
        """Whether the server as a whole does not work."""
        return self.kind in OUT

    @property
    def away(self) -> bool:
        """Whether the server would do if only it answered."""
        return self.kind in ("away", "sealed")


class Life(NamedTuple):
    """How long a token or a lease lasts.

    Args:
        seconds: from now; 0 is for ever.
        renewable: whether it can be made longer.
    """

    seconds: int
    renewable: bool


class Reading(NamedTuple):
    """What was read at a path.

    Args:
        values: the fields.
        version: the version of a versioned secret; 0 where the engine has none.
        written: when that version was written, in Unix time; None where the engine does not say.
        lease: the id of its lease; empty where it has none.
        life: how long the lease lasts.
    """

    values: Mapping[str, Any]
    version: int = 0
    written: float | None = None
    lease: str = ""
    life: Life = Life(0, False)


class VaultBackend(Protocol):
    """A secret server. Every call blocks, is safe to make from several threads, and raises `VaultFault`."""

    @property
    def token(self) -> str:
        """The token in use, for redaction; empty before the first sign-in."""
        ...

    def sign_in(self) -> Life: ...

    def renew(self) -> Life: ...

    def knows_us(self) -> bool:
        """Whether our token is good, whatever it may do."""
        ...

    def leave(self) -> None:
        """Gives back a token that `sign_in` was given, and with it all its leases."""
        ...

    def read(self, path: str, version: int | None = None) -> Reading: ...

    def newest(self, path: str) -> int:
        """The number of the newest version of a secret in KV version 2, without its values; 0 where that is deleted."""
        ...

    def renew_lease(self, lease: str) -> Life: ...

    def encrypt(self, mount: str, key: str, plaintext: bytes, associated: bytes) -> str: ...

    def decrypt(self, mount: str, key: str, ciphertext: str, associated: bytes) -> bytes: ...

    def rotate(self, mount: str, key: str) -> int:
        """Gives a key of transit a new version; returns its number."""
        ...

    def key_version(self, mount: str, key: str) -> int:
        """The newest version of a key of transit."""
        ...
