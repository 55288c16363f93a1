"""The text of an API key: `rt_`, an id of 16 characters, a secret of 43, and a checksum of 6.

The id is what the key is found by; it is no secret. The checksum refuses a mistyped key, and noise that only looks like
one, without a question to the database.
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import b32encode, urlsafe_b64encode
from typing import Final, NamedTuple

from runtime.http.operator_key import checksum

_PUBLIC: Final = re.compile(r"([a-z][a-z0-9]{0,15}_)([a-z2-7]{0,16})")
_FORM: Final = re.compile(r"([a-z][a-z0-9]{0,15}_)([a-z2-7]{16})([A-Za-z0-9_-]{43})([A-Za-z0-9_-]{6})")


class KeyText(NamedTuple):
    """The parts of a key.

    Args:
        prefix: `rt_`.
        id: 80 random bits.
        secret: 256 random bits.
    """

    prefix: str
    id: str
    secret: str

    @classmethod
    def new(cls, prefix: str) -> KeyText:
        """A fresh random key."""
        id_ = b32encode(secrets.token_bytes(10)).decode().lower()
        return cls(prefix, id_, urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode())

    @classmethod
    def read(cls, text: str) -> KeyText | None:
        """The parts of what a caller shows; None where it is no key.

        Example:
            >>> key = KeyText.new("rt_")
            >>> KeyText.read(str(key)) == key, KeyText.read(str(key)[:-1])
            (True, None)
        """
        match = _FORM.fullmatch(text)
        if match is None or not hmac.compare_digest(match[4], checksum(match[2] + match[3])):
            return None
        return cls(match[1], match[2], match[3])

    def __str__(self) -> str:
        return f"{self.prefix}{self.id}{self.secret}{checksum(self.id + self.secret)}"


def public_part(text: str) -> str:
    """What may be shown and looked for of a key, or of a piece of one that was found: nothing of its secret.

    Example:
        >>> public_part("rt_abcdefghij234567AND_SO_ON"), public_part("rt_abc"), public_part("abc")
        ('rt_abcdefghij234567', 'rt_abc', 'abc')
    """
    match = _PUBLIC.match(text)
    return match[0] if match else text


def id_of(text: str) -> str:
    """The id of a key, from itself, from the characters that it begins with, or from the key.

    Example:
        >>> id_of("rt_abcdefghij234567"), id_of("abcdefghij234567")
        ('abcdefghij234567', 'abcdefghij234567')
    """
    match = _PUBLIC.match(text)
    return match[2] if match else text
