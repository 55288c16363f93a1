"""Schedules of jobs."""

from __future__ import annotations

from runtime.assembly.site import Made, Site
from runtime.services.jobs.schedule import Schedule


def component(site: Site, name: str) -> Made:
    """A schedule."""
    spec = site.spec.schedules[name]
    queue = site.spec.queues[spec.queue]
    handler = queue.handler
    fields = {**site.data["schedules"][name], "handler": handler}
    if not site.built(handler):
        what = f'the handler "{handler}" of the queue "{spec.queue}"'
        return site.absent(f"schedules.{name}", what, fields)
    return Made(
        f"Schedule of {spec.queue}",
        lambda ports: Schedule(name, spec, ports["jobs"], ports["storage.cache"].held, queue=queue),
        fields,
    )
