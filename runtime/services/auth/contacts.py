"""How accounts can be reached: e-mail addresses and phones, each in the one form that it is known by."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from runtime.errors import Invalid, Pointer
from runtime.services.phones import e164

_EMAIL: Final = re.compile(r"[^@\s<>(),;:\\\"\x00-\x1f]{1,64}@[^@\s<>(),;:\\\"\x00-\x1f]{1,250}")


def normal_email(email: str, pointer: str = "/email") -> str:
    """An address as accounts are known by it.

    Raises:
        Invalid: it is none.

    Example:
        >>> normal_email(" Ada@Example.com")
        'ada@example.com'
    """
    found = unicodedata.normalize("NFC", email.strip().lower())
    if not (_EMAIL.fullmatch(found) and found.isprintable()):  # two that look the same are the same
        raise Invalid("this is no e-mail address", errors=[Pointer(pointer, "such as ada@example.com")])
    return found


def normal_phone(phone: str, pointer: str = "/phone") -> str:
    """A number in its international form (ITU-T E.164), whatever stands between its digits. It names its country.

    Raises:
        Invalid: it is none.

    Example:
        >>> normal_phone("+43 (0)1 234-567")
        '+431234567'
    """
    try:
        return e164(phone)
    except ValueError as error:
        wanted = "with its country, such as +43 1 234567"
        raise Invalid("this is no phone number", errors=[Pointer(pointer, f"{error}: {wanted}")]) from None
