"""What every room of the assembly builds upon: the spec, where its state lies, and what else the process has."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime.outline import DELIVERING, EXECUTING, INBOX, RUNNING, channel_for
from runtime.part import Part
from runtime.services.absent import Absent
from runtime.telemetry.tracing import Tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime.http.health import HealthSource
    from runtime.http.runtime_routes import EnvironmentControl, EnvironmentView
    from runtime.kernel.component import Ports, Service
    from runtime.kernel.sockets import Sockets
    from runtime.plugins import Registry
    from runtime.spec.load import Loaded
    from runtime.spec.root import Spec
    from runtime.state import StateFolder
    from runtime.telemetry.logs import Logs
    from runtime.telemetry.metrics import Metrics


class Made(NamedTuple):
    """A component as its room makes it.

    Args:
        title: for people.
        factory: makes the service of the ports of those that it needs.
        fields: what it is made of; a difference in them is a change.
        live: the fields that change in place.
    """

    title: str
    factory: Callable[[Ports], Service]
    fields: Mapping[str, Any]
    live: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Site:
    """The ground on which the components of one spec are made.

    Args:
        loaded: the spec.
        registry: the marks of its plugins.
        state: its state folder, made.
        sockets: where the HTTP server gets its socket from.
        logs: the log output, whose level is live.
        health: what `/healthz` shows.
        view: what `/v1/runtime` shows.
        control: plans and applies for `/v1/runtime`.
        part: which of the components this process runs.
        tracing: where work is traced.
        rotate: called when a source of secrets has changed; must not block.
        missing: what the spec declares and this version does not run, by component id; filled while components
            are made.
    """

    loaded: Loaded
    registry: Registry
    state: StateFolder
    sockets: Sockets
    logs: Logs
    metrics: Metrics
    health: HealthSource
    view: EnvironmentView
    control: EnvironmentControl | None = None
    part: Part = field(default_factory=Part)
    tracing: Tracing = field(default_factory=Tracing)
    rotate: Callable[[], None] = lambda: None
    missing: dict[str, str] = field(default_factory=dict)

    def of(self, loaded: Loaded) -> Site:
        """The same ground under another spec, or under the same one with other secrets."""
        return replace(self, loaded=loaded, missing={})

    @property
    def spec(self) -> Spec:
        return self.loaded.spec

    @property
    def data(self) -> Mapping[str, Any]:
        """The merged spec as plain data, with its defaults."""
        return self.loaded.data

    @property
    def prefix(self) -> str:
        """What the keys of this environment in Redis begin with."""
        return f"rt:{self.spec.name}:"

    @property
    def public_url(self) -> str | None:
        """Where the API is reached from outside, as far as that is known before it listens."""
        api = self.spec.api
        return api.public_url or (f"http://{api.host}:{api.port}" if api.port else None)

    def absent(self, id_: str, what: str, fields: Mapping[str, Any]) -> Made:
        """A component that only says that it is not built."""
        self.missing[id_] = what
        return Made(f"{what}: not built", lambda _: Absent(what), {**fields, "not built": what})

    def live_secrets(self, *path: str) -> bool:
        """Whether a field's secrets change in place: no path of Vault in it asks for a restart."""
        paths = self.spec.secrets.vault.paths if self.spec.secrets.vault else {}
        names = (use.reference.name for use in self.loaded.uses if use.path[: len(path)] == path)
        return not any(paths[name].on_rotate == "restart" for name in names if name in paths)

    def queue_of(self, handler: str) -> str | None:
        """The first queue that a handler serves."""
        return next((name for name, queue in self.spec.queues.items() if queue.handler == handler), None)

    def delivering(self, handler: str) -> str | None:
        """The queue whose jobs a built-in handler delivers; None where no channel is there for it."""
        return self.queue_of(handler) if channel_for(handler, self.data) else None

    def built(self, handler: str) -> bool:
        """Whether this version has what runs a queue's jobs."""
        delivers = handler in DELIVERING and channel_for(handler, self.data) is not None
        inboxes = handler == INBOX and self.spec.notifications is not None
        executes = handler == EXECUTING and self.spec.sandbox is not None
        runs = handler == RUNNING and self.spec.routines is not None
        return delivers or inboxes or executes or runs or self.registry.get("task", handler) is not None
