"""Signed links by which a recipient ends the mails of a category, without signing in (RFC 8058)."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

from runtime.errors import Invalid

PATH = "/v1/notifications/unsubscribe"
_SIGNATURE = 16
"""Bytes of a signature, 128 bits."""


class Claim(NamedTuple):
    """What a link is for."""

    recipient: str
    category: str
    address: str


class Links:
    """Makes and reads links.

    Args:
        key: what they are signed with, the same at every instance.
        base: where the API is reached from outside; None where that is not known, and no link can be made.
    """

    def __init__(self, key: str, base: str | None) -> None:
        self._key = bytes.fromhex(key)
        self._base = base.rstrip("/") if base else None

    def link(self, recipient: str, category: str, address: str) -> str | None:
        """The address of an unsubscription."""
        if self._base is None:
            return None
        return f"{self._base}{PATH}?token={self.token(Claim(recipient, category, address))}"

    def token(self, claim: Claim) -> str:
        body = json.dumps(claim, separators=(",", ":"), ensure_ascii=False).encode()
        return _text(self._signature(body) + body)

    def read(self, token: str) -> Claim:
        """What a link is for.

        Raises:
            Invalid: it is not one of ours, or was changed.
        """
        try:
            raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
            signature, body = raw[:_SIGNATURE], raw[_SIGNATURE:]
            if hmac.compare_digest(signature, self._signature(body)):
                return Claim(*json.loads(body))
        except (ValueError, TypeError):
            pass
        raise Invalid(
            "this link is not valid", remedy="Open it as it stands in the mail, or change your settings instead."
        )

    def _signature(self, body: bytes) -> bytes:
        return hmac.digest(self._key, b"unsubscribe\0" + body, hashlib.sha256)[:_SIGNATURE]


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
