"""What others may use of the audit trail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """An act as the trail keeps it; the words are those of `runtime.telemetry.audit.Act`.

    Args:
        seq: where it stands, from 1, without a gap.
        key: which key its hash was made with; empty for none.
        hash: of the entry before it and of all that stands here, as 64 hexadecimal digits.
    """

    seq: int
    id: str
    time: datetime
    actor: str
    action: str
    target: str | None
    outcome: str
    request: str | None
    address: str | None
    details: Mapping[str, Any]
    key: str
    hash: str


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the chain: an entry's number and its hash.

    Example:
        >>> str(Place(7, "c0ffee"))
        '7:c0ffee'
    """

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are looked for; None stands for all.

    Args:
        since: of this moment and later.
        until: before this moment.
    """

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """The first entry at which the chain does not hold.

    Args:
        seq: its number, or the number that is missing.
        why: one sentence.
    """

    seq: int
    why: str


@dataclass(frozen=True, slots=True)
class Verified:
    """How far the chain holds.

    Args:
        checked: entries that were looked at.
        through: up to where the chain holds.
        head: where it ends; None where the database does not say.
        first: the number of the oldest entry that is kept.
        broken: where it does not hold.
        done: whether the end was reached.
    """

    checked: int
    through: Place
    head: Place | None
    first: int
    broken: Broken | None
    done: bool


class Trail(Protocol):
    """The audit trail, for whoever reads it."""

    async def entries(self, wanted: Wanted, *, before: int | None, limit: int) -> list[Entry]:
        """Entries, newest first, of numbers below `before`.

        Raises:
            Unreachable: the database does not answer.
        """
        ...

    async def head(self) -> Place:
        """Where the chain ends; of an empty one the number is 0.

        Raises:
            Unreachable: the database does not answer.
            Fault: the database does not say.
        """
        ...

    async def verify(
        self,
        *,
        after: Place | None = None,
        limit: int | None = None,
        noted: Place | None = None,
        on_progress: Callable[[int], None] = lambda seq: None,
    ) -> Verified:
        """Follows the chain from its oldest entry, or from a place up to which it was followed before.

        Args:
            limit: stop after about so many entries.
            noted: a head that was noted down earlier: the chain must go through it.
            on_progress: is told the number that has been reached.

        Raises:
            Unreachable: the database does not answer.
        """
        ...
