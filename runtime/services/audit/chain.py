"""How one entry follows from another: the hash of an entry covers the hash of the one before it.

    hash = SHA-256(content)               without a key
    hash = HMAC-SHA-256(key, content)     with one
    content = ["<hash before>",<seq>,"<id>",<time>,"<actor>","<action>",<target>,"<outcome>",<request>,<address>,
               "<details>","<key>"]

`content` is that JSON array in ASCII without spaces; `time` counts microseconds since 1970, `details` is the JSON text
that is kept, what is not there is null. Anybody can compute it from the table alone, in any language. The hash before
the first entry is 64 zeros. It is the linked log of Haber and Stornetta ("How to time-stamp a digital document", 1991);
the tree of Certificate Transparency (RFC 9162) and of immudb answers proofs about single entries to strangers, which
nobody here asks for.
"""

from __future__ import annotations

import hashlib
import hmac
from json.encoder import JSONEncoder
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

GENESIS: Final = "0" * 64
"""The hash before the first entry."""
FIELDS: Final = (
    "seq", "id", "time", "actor", "action", "target", "outcome", "request", "address", "details", "key",
)  # fmt: skip
"""What a hash covers, in this order."""
SHORTEST: Final = 32
"""Characters of a key."""

_encoded: Final = JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


class Seal:
    """Makes the hashes.

    Args:
        key: for those of new entries; None for hashes without a key.
        previous: keys of older entries.

    Raises:
        Fault: a key is too short to be one.

    Example:
        >>> Seal().hash("0" * 64, [1, "a", 0, "x", "y", None, "done", None, None, "{}", ""])[:8]
        '2aafb1b3'
    """

    def __init__(self, key: str | None = None, previous: Sequence[str] = ()) -> None:
        given = [key] if key is not None else []
        if any(len(each) < SHORTEST for each in (*given, *previous)):
            raise Fault(
                f"a key of the audit trail has fewer than {SHORTEST} characters",
                remedy="Take 32 random bytes: openssl rand -base64 32",
            )
        self._keys = {name_of(each): each.encode() for each in (*previous, *given)}
        self.name = name_of(key) if key is not None else ""

    @property
    def keyed(self) -> bool:
        """Whether new entries are hashed with a key."""
        return bool(self.name)

    def knows(self, name: str) -> bool:
        """Whether entries of a key can be checked."""
        return not name or name in self._keys

    def hash(self, before: str, values: Sequence[Any]) -> str:
        """The hash of an entry.

        Args:
            before: the hash of the entry before it.
            values: those of `FIELDS`, the last one the name of a known key.
        """
        content = _encoded([before, *values]).encode("ascii")
        name = values[-1]
        if not name:
            return hashlib.sha256(content).hexdigest()
        return hmac.new(self._keys[name], content, hashlib.sha256).hexdigest()


def name_of(key: str) -> str:
    """What a key is known by in the entries; tells nothing of the key itself.

    Example:
        >>> name_of("0123456789abcdef0123456789abcdef")
        'deeb5b928a8d4087'
    """
    return hashlib.blake2b(key.encode(), digest_size=8, person=b"runtime-audit").hexdigest()
