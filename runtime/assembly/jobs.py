"""The queues of jobs, with the built-in handlers, and their workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.assembly.site import Made, Site
from runtime.outline import DELIVERING, EXECUTING, INBOX, RUNNING, channel_for
from runtime.plugins import Mark, Registry
from runtime.services.jobs.adapters.saq import SaqBackend
from runtime.services.jobs.service import JobQueues
from runtime.services.jobs.spec import QueueSpec
from runtime.services.jobs.worker import QueueWorker
from runtime.services.notifications.workers import deliver, email_task, in_app, sms_task
from runtime.services.routines.workers import run
from runtime.services.sandbox.workers import execution_task
from runtime.spec.fields import live_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.kernel.component import Ports, Service
    from runtime.storage.ports import Cache


def component(site: Site, name: str) -> Made:
    """The worker of a queue, or the queues themselves."""
    return _worker(site, name) if name else _queues(site)


def _queues(site: Site) -> Made:
    def make(ports: Ports) -> Service:
        tasks = Registry(site.registry)
        for handler in DELIVERING:
            if channel := channel_for(handler, site.data):
                tasks.add(Mark("task", handler, _delivery(handler, ports[channel], ports["storage.cache"].held)))
        if site.spec.notifications is not None:
            tasks.add(Mark("task", INBOX, in_app))
        if sandbox := ports.get("sandbox"):
            tasks.add(Mark("task", EXECUTING, execution_task(sandbox)))
        if routines := ports.get("routines"):
            tasks.add(Mark("task", RUNNING, run, accepts=routines.accept))
        backend = SaqBackend(ports["storage.redis"].client, site.prefix, instance=site.state.instance())
        return JobQueues(site.spec.queues, tasks, backend, site.tracing)

    delivering = {handler: channel_for(handler, site.data) for handler in DELIVERING}
    fields = {"queues": site.data["queues"], "delivering": delivering, "inboxes": site.spec.notifications is not None}
    return Made("Job queues", make, fields, frozenset({"queues"}))


def _delivery(handler: str, channel: Any, notes: Cache) -> Callable[..., Any]:
    """The task of a built-in handler that delivers through a channel."""
    match DELIVERING[handler]:
        case "smtp":
            return email_task(channel, notes)
        case "http":
            return sms_task(notes)
    return deliver


def _worker(site: Site, name: str) -> Made:
    spec = site.spec.queues[name]
    fields = site.data["queues"][name]
    if not site.built(spec.handler):
        return site.absent(f"jobs.{name}", f'the handler "{spec.handler}"', fields)
    return Made(
        f"Worker of {spec.handler}",
        lambda ports: QueueWorker(
            name,
            spec,
            ports["jobs"],
            ports["events"],
            transactions=ports["outbox"],
            mask=site.logs.redactor.text,
            platform=ports["events"].platform,
            sandbox=ports.get("sandbox"),
            ai=ports.get("ai"),
            notifications=ports.get("notifications"),
            tracing=site.tracing,
        ),
        fields,
        live_fields(QueueSpec),
    )
