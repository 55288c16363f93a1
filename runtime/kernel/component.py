"""What the kernel runs, and what it asks of it.

A `Component` is data: its id, the fields it was made of, the ids it needs, and a factory. The factory makes a
`Service`, which is behaviour. The kernel knows nothing else of either.

The life of a service:

    factory(component, ports)   no I/O; `ports` holds the services that it needs, by id, already started
    start()                     returns when it is ready; raises a Fault when it cannot be
    watch()          optional   runs as long as the service does; raising says "I have died", and the kernel
    restarts it update(fields)   optional   changes live fields in place, whole or not at all
    health()         optional   answers within a second
    stop()                      drains; idempotent; tolerates a service that never started or has already died

A restart is `stop()` and `start()` on the same object, since others hold it. `start` after `stop` must work.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from runtime.health import Health

Ports = Mapping[str, Any]
"""The started services that a component needs, by component id."""


class Service(Protocol):
    """The least that a component's behaviour must offer."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@runtime_checkable
class Watched(Protocol):
    """A service that can die by itself."""

    async def watch(self) -> None: ...


@runtime_checkable
class Updatable(Protocol):
    """A service whose live fields change in place."""

    async def update(self, fields: Mapping[str, Any]) -> None: ...


@runtime_checkable
class Checked(Protocol):
    """A service that can say how it is."""

    async def health(self) -> Health: ...


Factory = Callable[["Component", Ports], Service]


@dataclass(frozen=True, slots=True)
class Component:
    """One thing that runs.

    Args:
        id: `section.name`, as in `jobs.email`; the part before the first dot is the service it belongs to.
        fields: the plain data that it was made of; two components with equal fields are the same.
        needs: ids of the components that must be running before it, and are handed to its factory.
        after: ids of further components that start before it and stop after it; it holds none of them, so that a
            new instance of one is no reason for a new instance of it.
        live: names of the top-level fields that change without a restart.
        factory: makes the service.
        title: what a person sees while it starts, "Redis (embedded)".
        grace: seconds that `stop()` may take to drain before the kernel goes on without it.
        exclusive: no two instances may run at once, since they share a folder; a replacement stops the old
            one first.
    """

    id: str
    factory: Factory = field(compare=False, repr=False)
    fields: Mapping[str, Any] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    live: frozenset[str] = frozenset()
    title: str = ""
    grace: float = field(default=30.0, compare=False)
    exclusive: bool = field(default=False, compare=False)

    @property
    def service(self) -> str:
        """The service it belongs to: `jobs` of `jobs.email`."""
        return self.id.partition(".")[0]

    @property
    def awaits(self) -> frozenset[str]:
        """All that starts before it and stops after it."""
        return self.needs | self.after

    @property
    def fingerprint(self) -> str:
        """A digest of the fields that are not live: another fingerprint means another instance."""
        fixed = {name: value for name, value in self.fields.items() if name not in self.live}
        return hashlib.sha256(json.dumps(fixed, sort_keys=True, default=str).encode()).hexdigest()[:16]
