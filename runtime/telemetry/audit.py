"""Acts of people and operators that matter for security, and whoever writes them down.

What stands here is what all parts have in common: the HTTP part tells of acts, services say whom they concern, and
`runtime.services.audit` keeps them. The words are those of CADF (DMTF DSP0262): who (actor) did what (action) to what
(target), with what outcome.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

Outcome = Literal["done", "denied", "failed"]

OPERATOR: Final = "key:operator"
"""Whoever has the operator's key, or runs the program."""
SYSTEM: Final = "system"
"""The environment itself."""


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody did, or tried to do.

    Args:
        action: the kind of thing and the verb: `api_key.revoke`.
        actor: the caller as the access log names it, `user:…`, `key:…`, `address:…`; or `OPERATOR`, `SYSTEM`.
        target: what it was done to, `queue:email`; None where nothing can be named.
        outcome: `denied`: the actor may not, or has not shown who it is; `failed`: it could not be done.
        address: where the caller came from; of IPv6 the network.
        request: the id of the request.
        details: JSON values; never a secret, a name or an address of a person.
        id: acts of one id are one act; None for a new one.
        time: when it was done; None for now.
    """

    action: str
    actor: str
    target: str | None = None
    outcome: Outcome = "done"
    address: str | None = None
    request: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None
    time: datetime | None = None


class Recorder(Protocol):
    """Whoever writes acts down."""

    async def record(self, act: Act) -> None:
        """Returns when the act is kept, or nothing is there that could keep it, which is logged; never raises."""
        ...

    def note(self, act: Act) -> None:
        """Writes an act down soon; does not wait, and never raises."""
        ...


_concerned: ContextVar[dict[str, str] | None] = ContextVar("concerned", default=None)


def concern(target: str) -> None:
    """Says what the request under way is about, where neither its path nor its answer does.

    Example:
        >>> with concerned() as about:
        ...     concern("user:1")
        >>> about
        {'target': 'user:1'}
    """
    about = _concerned.get()
    if about is not None:
        about["target"] = target


@contextmanager
def concerned() -> Iterator[dict[str, str]]:
    """What `concern` says within the block, as `target`."""
    about: dict[str, str] = {}
    token = _concerned.set(about)
    try:
        yield about
    finally:
        _concerned.reset(token)
