"""What callers see of a running environment: the health of its services, its components, its spec, its journal."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runtime.health import Health
from runtime.http.health import Checked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runtime.kernel.reconcile import Kernel
    from runtime.telemetry.redaction import Redactor

ESSENTIAL = "storage"
"""The service without which nothing works."""


class View:
    """Reads the kernel; implements what the HTTP API shows of health and of the environment itself.

    Args:
        kernel: what runs.
        name: the environment's name.
        declared: gives the spec as it was written, with its defaults, secrets masked.
        redactor: masks secrets in what exceptions say.
    """

    def __init__(
        self, kernel: Kernel, name: str, declared: Callable[[], Mapping[str, Any]], redactor: Redactor
    ) -> None:
        self.draining = False
        self._kernel = kernel
        self._name = name
        self._declared = declared
        self._redactor = redactor
        self._started = datetime.now(UTC)

    async def services(self) -> Mapping[str, Checked]:
        """The health of each service, summed up from its components."""
        answers = await self._kernel.health()
        now = datetime.now(UTC)
        services: dict[str, dict[str, Health]] = {}
        for id_, health in answers.items():
            services.setdefault(self._kernel.components[id_].service, {})[id_] = health
        return {
            name: Checked(self._masked(self._summed(parts)), now, essential=name == ESSENTIAL)
            for name, parts in services.items()
        }

    def _summed(self, parts: Mapping[str, Health]) -> Health:
        """One health of many: down where a part is down that others need, degraded where any other part is not well."""
        built = {id_: health for id_, health in parts.items() if health.status != "not built"}
        details = {
            id_: {"status": health.status, "reason": health.reason, **health.details} for id_, health in parts.items()
        }
        if not built:
            return Health("not built", next(iter(parts.values())).reason, details)
        ill = {id_: health for id_, health in built.items() if health.status != "operational"}
        if not ill:
            return Health(details=details)
        reason = "; ".join(f"{id_}: {health.reason or health.status}" for id_, health in ill.items())
        fatal = any(health.status == "down" and self._needed(id_) for id_, health in ill.items())
        return Health("down" if fatal else "degraded", reason, details)

    def _masked(self, health: Health) -> Health:
        return Health(health.status, self._redactor.text(health.reason), self._redactor.value(health.details))

    def _needed(self, id_: str) -> bool:
        """Whether another component than the API, which needs them all, stands on it."""
        return any(id_ in other.awaits for other in self._kernel.components.values() if other.id != "http")

    async def summary(self) -> Mapping[str, Any]:
        health = await self._kernel.health()
        revision = self._kernel.revision
        summary = {
            "name": self._name,
            "revision": revision.number if revision else 0,
            "started": self._started.isoformat(timespec="seconds"),
            "components": [
                {
                    **asdict(status),
                    "since": status.since.isoformat(timespec="milliseconds"),
                    "health": asdict(health.get(status.id, Health("down", status.state))),
                }
                for status in self._kernel.status()
            ],
        }
        masked: dict[str, Any] = self._redactor.value(summary)
        return masked

    def spec(self) -> Mapping[str, Any]:
        return self._declared()

    def revisions(self) -> Sequence[Mapping[str, Any]]:
        """Without the specs: what is written there may hold secrets; the journal's files have them, mode 0600."""
        journal = self._kernel.journal
        revisions = [asdict(revision) for revision in reversed(journal.list())] if journal else []
        return [
            self._redactor.value({name: value for name, value in revision.items() if name != "spec"})
            for revision in revisions
        ]
