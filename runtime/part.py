"""Which part of an environment a process runs: all of it, its API, or workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Role = Literal["all", "api", "worker"]


@dataclass(frozen=True, slots=True)
class Part:
    """The part of an environment that one process runs.

    `api` leaves out the workers of queues and the subscribers; `worker` leaves out the API, the accounts and the
    schedules, and is one of any number.

    Args:
        queues: of a worker, the queues whose jobs it runs, and no subscribers; None for all queues and subscribers.

    Example:
        >>> Part("worker", frozenset({"email"})).includes("jobs.email"), Part("worker").includes("http")
        (True, False)
    """

    role: Role = "all"
    queues: frozenset[str] | None = None

    @property
    def beside_others(self) -> bool:
        """Whether it is one of several on the same state folder."""
        return self.role == "worker"

    def includes(self, component: str) -> bool:
        """Whether a component runs in it."""
        section, _, name = component.partition(".")
        working = bool(name) and section in ("jobs", "events")
        if self.role == "api":
            return not working
        if self.role == "worker":
            if section in ("http", "schedules", "auth"):
                return False
            if working and self.queues is not None:
                return section == "jobs" and name in self.queues
        return True

    def of(self, components: Iterable[str]) -> list[str]:
        """Those of the components that run in it."""
        return [each for each in components if self.includes(each)]
