"""What a component says of itself when it is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Status = Literal["operational", "degraded", "down", "not built"]


@dataclass(frozen=True, slots=True)
class Health:
    """The answer of `health()`.

    Args:
        status: `operational`; `degraded` (it serves, but something needs a look); `down`; `not built` (declared in the
            spec, absent from this version).
        reason: one sentence where the status is not `operational`.
        details: figures for an operator, JSON values only, never a secret.
    """

    status: Status = "operational"
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        return self.status in ("operational", "degraded")
