"""What others may use of the routines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec


class StepView(msgspec.Struct, frozen=True):
    """A step as a caller sees it.

    Args:
        uses: what it does: `sandbox.python`, `ai.chat`.
    """

    name: str
    uses: str


class RoutineView(msgspec.Struct, frozen=True):
    """A routine as a caller sees it.

    Args:
        input: what it is started with, as a JSON Schema.
    """

    name: str
    description: str | None
    input: Mapping[str, Any]
    steps: Sequence[StepView]


class Routines(Protocol):
    """The routines of the spec, for whoever starts them."""

    @property
    def queue(self) -> str | None:
        """The queue whose jobs are runs; None where the spec gives `routines.run` no queue."""
        ...

    @property
    def marks(self) -> frozenset[str]:
        """The marks that change a run's priority."""
        ...

    def routines(self) -> Sequence[RoutineView]:
        """Every routine, in the spec's order."""
        ...

    def routine(self, name: str) -> RoutineView:
        """One routine.

        Raises:
            NotFound: no such routine, with the nearest name.
        """
        ...
