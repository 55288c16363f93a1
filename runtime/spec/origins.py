"""Where the values of references come from, and what was found there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from runtime.spec.places import Path
    from runtime.spec.references import Reference

OriginKind = Literal["command line", "environment", "file", "env file", "vault", "default"]


class Origin(NamedTuple):
    """Where a value was found.

    Args:
        kind: the kind of source.
        name: the variable, the file or the path at Vault with its field; never a value.
        version: Vault's version of it, as text; empty where the source has none.
        since: when this value was written, in Unix time; None where the source does not say.
        lease: seconds for which it was given, where it is given for a time.
    """

    kind: OriginKind
    name: str
    version: str = ""
    since: float | None = None
    lease: int | None = None

    def __str__(self) -> str:
        shown = {"env file": self.name, "file": self.name, "vault": f"vault {self.name}", "default": "default"}
        return shown.get(self.kind, f"{self.kind} {self.name}")


class Found(NamedTuple):
    """The value of a reference."""

    text: str
    origin: Origin


class Use(NamedTuple):
    """A reference where it stands in the spec, and what became of it.

    Args:
        path: the keys that lead to the text in which it stands.
        place: `file:line:column` of the reference.
        written: the reference as it was written, its default without literal secrets.
        reference: the reference that gives the value; another than the written one where that is unset and its default
            is a reference.
        origin: where its value came from; None where it has none.
        problem: why it has none.
    """

    path: Path
    place: str
    written: str
    reference: Reference
    origin: Origin | None
    problem: str = ""


class Unresolved(Exception):  # noqa: N818 - carries the reason to where the position is known
    """A reference has no value.

    Args:
        reason: why, and what to do; never a value.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NoVault(Exception):  # noqa: N818 - the same, for all references at once
    """Vault answers nobody at all.

    Args:
        reason: why, and what to do.
        key: the field of `secrets.vault` that has to do with it: `address`, `auth`, `ca`.
        away: whether waiting may help: the spec is right, the server does not answer.
    """

    def __init__(self, reason: str, key: str, *, away: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.key = key
        self.away = away


VaultLookup = Callable[[Mapping[str, Any], "Sequence[Reference]"], "Mapping[Reference, Found | Unresolved]"]
"""Reads references out of Vault: the section `secrets.vault`, resolved, and what is wanted; raises `NoVault`."""
