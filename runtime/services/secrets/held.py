"""A secret of Vault as we hold it: its values, how old they are, and what is wrong with getting newer ones."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime.services.secrets.session import Span
from runtime.spec.origins import Found, Origin, Unresolved

if TYPE_CHECKING:
    from runtime.services.secrets.backend import Reading, VaultFault
    from runtime.services.secrets.spec import VaultPathSpec


class Key(NamedTuple):
    """Which secret is meant.

    Args:
        name: the name under `secrets.vault.paths`, or the raw path.
        version: the version that is wanted; None is the newest.
    """

    name: str
    version: int | None


@dataclass
class Held:
    """One secret.

    Args:
        spec: how it is read and what happens when it changes.
        reading: what was read last.
        changed: when the values last became other ones, in Unix time.
        seen: when Vault last confirmed them, on our clock.
        problem: why they could not be confirmed since; None where they were.
        span: the life of its lease; None where it has none.
        sign_in: the number of the sign-in whose token got the lease.
    """

    spec: VaultPathSpec
    reading: Reading = field(repr=False)
    changed: float = field(default_factory=time.time)
    seen: float = 0.0
    problem: VaultFault | None = None
    span: Span | None = None
    sign_in: int = 0

    def __post_init__(self) -> None:
        self.seen = time.monotonic()
        self._spanned()

    def replaced(self, reading: Reading) -> bool:
        """Takes over what was read anew; returns whether its values are other ones."""
        differs = dict(reading.values) != dict(self.reading.values)
        self.reading = reading
        self.confirmed()
        self._spanned()
        if differs:
            self.changed = time.time()
        return differs

    def confirmed(self) -> None:
        """Vault has said that this is the newest."""
        self.seen, self.problem = time.monotonic(), None

    def found(self, field_: str) -> Found | Unresolved:
        """The text of one field.

        A number or a switch counts as its JSON text; a list, an object and null are no secrets.
        """
        values, path = self.reading.values, self.spec.path
        if field_ not in values:
            near = get_close_matches(field_, values, n=1)
            has = f'did you mean "{near[0]}"?' if near else f"it has {', '.join(sorted(values)[:12]) or 'no fields'}"
            return Unresolved(f'the secret at {path} has no field "{field_}"; {has}')
        value: Any = values[field_]
        if isinstance(value, bool | int | float):
            value = json.dumps(value)
        if not isinstance(value, str) or "\0" in value:
            kind = {list: "a list", dict: "an object", type(None): "null"}.get(type(value), "no text")
            return Unresolved(f'the field "{field_}" of {path} is {kind}; a secret is a text, store it as one')
        return Found(value, self._origin(field_))

    @property
    def version(self) -> str:
        return str(self.reading.version or "")

    def _origin(self, field_: str) -> Origin:
        since = self.reading.written or self.changed
        lease = self.reading.life.seconds if self.reading.lease else None
        return Origin("vault", f"{self.spec.path}#{field_}", self.version, since, lease)

    def _spanned(self) -> None:
        self.span = Span(self.reading.life) if self.reading.lease else None
