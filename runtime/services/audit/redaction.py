"""What an entry may say: no secret, no name and no address of a person, nothing that is long.

An entry outlives the people that it is about: they are known by their ids alone. Routes name the fields that are kept;
the data of events is anybody's, so it is looked through by the names of fields and by the look of values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

MASK: Final = "***"
LARGEST: Final = 4096
"""Characters of an entry's details."""

_DEPTH: Final = 6
_HIDDEN: Final = re.compile(
    r"passw|passphrase|pwd|secret|token|credential|cookie|authori[sz]ation|signature|otp$|^pin$|^code$|"
    r"(^|_|-)key$|api_?-?key|private|e_?-?mail|phone|mobile|(^|_|-)name$|(first|last|full|user|sur|given|family)_?-?name|"
    r"^(street|city|zip|postcode|birthday|iban)$",
    re.IGNORECASE,
)
_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LOOKS: Final = re.compile(
    r"[^\s@<>\"'(),;:]+@[^\s@<>\"'(),;:]+\.[^\s@<>\"'(),;:]+"  # an address of mail
    r"|\brt_[A-Za-z0-9_-]{8,}|\b(?:sk|pk|ghp|xox[a-z])[-_][A-Za-z0-9_-]{8,}"  # keys
    r"|\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"  # a JWT
    r"|\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/@]*:[^\s/@]*@"  # a password in a URL
    r"|(?<![\w+])\+[0-9]{7,15}\b"  # a phone
    r"|-----BEGIN[^-]*PRIVATE KEY-----[\s\S]*?(?:-----END[^-]*-----|\Z)"
)


class Redaction:
    """Takes out of acts what must not be kept.

    Args:
        known: masks the values of secrets that the environment knows.

    Example:
        >>> Redaction(lambda text: text.replace("hunter2", "***")).details({"user": "u1", "password": "x"})
        '{"password":"***","user":"u1"}'
    """

    def __init__(self, known: Callable[[str], str] = str) -> None:
        self._known = known

    def text(self, text: str, most: int) -> str:
        """A text of so many characters that every database takes."""
        clean = _LOOKS.sub(MASK, self._known(text)).replace("\0", "\ufffd")
        return clean.encode("utf-8", "replace").decode()[:most]

    def details(self, details: Mapping[str, Any]) -> str:
        """Details as the JSON text that is kept; those that are too long are left out, with their length."""
        text = _json(self._value(details, 0))
        return text if len(text) <= LARGEST else _json({"left_out": f"details of {len(text)} characters"})

    def _value(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping) and depth < _DEPTH:
            return {self._name(str(name)): self._field(str(name), each, depth) for name, each in value.items()}
        if isinstance(value, list | tuple) and depth < _DEPTH:
            return [self._value(each, depth + 1) for each in value]
        return self.text(str(value), LARGEST)

    def _name(self, name: str) -> str:
        return self.text(name, 100)

    def _field(self, name: str, value: Any, depth: int) -> Any:
        hidden = _HIDDEN.search(_WORDS.sub("_", name)) is not None
        return MASK if hidden and not (value is None or isinstance(value, bool)) else self._value(value, depth + 1)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
