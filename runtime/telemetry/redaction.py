"""Keeps known secrets out of whatever is written.

The environment knows the values that references resolved to. Each of them is looked for as it is and in the
forms in which a library may print it: base64 (wherever it falls inside a longer value, as `user:password`),
URL-encoded, JSON-escaped and as Python's `repr` writes it.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import quote, quote_plus

MASK: Final = "***"
SHORTEST: Final = 4
"""Values of fewer characters are no secrets: masking `on` or `80` would only make the logs unreadable."""

MOST_HERE: Final = 256
"""Forms of values that one request or job has to do with, at most."""

_DEPTH: Final = 8


_here: ContextVar[tuple[str, ...]] = ContextVar("secrets_here", default=())


def mask_here(secrets: Iterable[str]) -> None:
    """Masks values in whatever this request or job writes, and no longer: there are too many of them to be known by
    all. The longest come first; of many values the last ones count."""
    forms = [*_here.get(), *(form for secret in secrets for form in _forms(secret))]
    kept = list(dict.fromkeys(forms))[-MOST_HERE:]
    _here.set(tuple(sorted(kept, key=lambda form: (-len(form), form))))


class Redactor:
    """Masks known secret values in text and in nested data.

    Args:
        secrets: the values; more can be learned later.

    Example:
        >>> Redactor(["hunter2"]).text("password=hunter2")
        'password=***'
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Adds values; those too short to be secrets are passed over."""
        self._secrets |= {secret for secret in secrets if len(secret.strip()) >= SHORTEST}
        forms = {form for secret in self._secrets for form in _forms(secret)}
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def text(self, text: str) -> str:
        masked = self._pattern.sub(MASK, text) if self._pattern else text
        for form in _here.get():
            if form in masked:
                masked = masked.replace(form, MASK)
        return masked

    def value(self, value: Any, _depth: int = 0) -> Any:
        """The same data with its texts masked: mappings and sequences become dicts and lists."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if self._pattern is None and not _here.get():
            return value
        if isinstance(value, str):
            return self.text(value)
        if _depth < _DEPTH:
            if isinstance(value, Mapping):
                return {self.text(str(key)): self.value(item, _depth + 1) for key, item in value.items()}
            if isinstance(value, list | tuple | set | frozenset):
                return [self.value(item, _depth + 1) for item in value]
        if isinstance(value, bytes):
            return self.text(value.decode("utf-8", "backslashreplace"))
        return self.text(str(value))


def _forms(secret: str) -> set[str]:
    forms = {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        repr(secret.encode())[2:-1],
        *_base64_forms(secret.encode()),
    }
    forms |= {part for part in secret.splitlines() if len(part.strip()) >= 2 * SHORTEST}  # a key file, line by line
    return {form for form in forms if len(form) >= SHORTEST}


def _base64_forms(raw: bytes) -> set[str]:
    """Its base64 text, and the part of a longer value's that it alone decides, at each of three offsets."""
    forms = set()
    for offset in range(3):
        encoded = b64encode(b"\0" * offset + raw).decode()
        first = (offset * 8 + 5) // 6  # the first character without a bit of what stands before
        last = (offset + len(raw)) * 8 // 6  # and the end of those without a bit of what comes after
        stable = encoded[first:last]
        if len(stable) >= 2 * SHORTEST:  # shorter ones would hit innocent text
            forms |= {stable, stable.replace("+", "-").replace("/", "_")}
    forms |= {b64encode(raw).decode(), b64encode(raw).decode().replace("+", "-").replace("/", "_")}
    return forms
