"""The event bus and its subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runtime.assembly.site import Made, Site
from runtime.outline import AUDIT, RECORDING, audited
from runtime.plugins import Mark
from runtime.services.events.service import EventBus
from runtime.services.events.spec import EventsSpec, SubscriptionSpec
from runtime.services.events.subscription import Subscription
from runtime.spec.fields import live_fields

if TYPE_CHECKING:
    from runtime.kernel.component import Ports, Service

USAGE: Final = "billing.usage"
"""The built-in subscriber that records what was used."""


def component(site: Site, name: str) -> Made:
    """A subscription, or the bus itself."""
    return _subscription(site, name) if name else _bus(site)


def _bus(site: Site) -> Made:
    fields = {name: value for name, value in site.data["events"].items() if name != "subscriptions"}
    types = site.registry.of("event_type")

    def in_memory(_: Ports) -> Service:
        from runtime.services.events.adapters.memory import MemoryStreams

        return EventBus(site.spec.events, MemoryStreams(source=site.spec.name), types, site.metrics)

    def in_redis(ports: Ports) -> Service:
        from runtime.services.events.adapters.redis import RedisStreams

        streams = RedisStreams(
            ports["storage.redis"].client,
            site.prefix,
            source=site.spec.name,
            instance=site.state.instance(),
        )
        return EventBus(site.spec.events, streams, types, site.metrics)

    if site.spec.events.backend == "memory":
        return Made("Event bus (in memory)", in_memory, fields, live_fields(EventsSpec))
    return Made("Event bus", in_redis, fields, live_fields(EventsSpec))


def _subscription(site: Site, name: str) -> Made:
    spec = site.spec.events.subscriptions[name]
    built_in = {USAGE: site.spec.billing is not None, RECORDING: audited(site.data)}.get(spec.handler, False)
    mark = site.registry.get("subscriber", spec.handler)
    fields = site.data["events"]["subscriptions"][name]
    if mark is None and not built_in:
        return site.absent(f"events.{name}", f'the subscriber "{spec.handler}"', fields)

    def make(ports: Ports) -> Service:
        handler = mark or _built_in(spec.handler, ports)
        masked = site.logs.redactor.text
        return Subscription(name, spec, handler, ports["events"], inbox=ports["outbox"], mask=masked)

    return Made(
        f"Subscriber of {spec.stream}",
        make,
        fields,
        live_fields(SubscriptionSpec),
    )


def _built_in(name: str, ports: Ports) -> Mark:
    if name == USAGE:
        return Mark("subscriber", USAGE, ports["billing"].used, once=True)
    from runtime.services.audit.workers import Recording

    return Mark("subscriber", RECORDING, Recording(ports[AUDIT]).record)
