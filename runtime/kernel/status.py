"""What the kernel tells of a component from outside: where it stands in its life."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from runtime.errors import Fault

if TYPE_CHECKING:
    from datetime import datetime

State = Literal["starting", "running", "restarting", "failed", "stopping", "stopped"]


@dataclass(frozen=True, slots=True)
class ComponentStatus:
    """One component at one moment.

    Args:
        id: `section.name`.
        title: what a person calls it.
        state: `failed` means that the last try to start it failed; a running environment tries again.
        since: when it came into this state, UTC.
        restarts: how often it has come back by itself.
        error: the last thing that went wrong, also when it runs again.
    """

    id: str
    title: str
    state: State
    since: datetime
    restarts: int = 0
    error: str | None = None


def describe(error: BaseException) -> str:
    """An exception in one line, as an operator should read it; of a group, its first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, Fault):
        return error.message
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
