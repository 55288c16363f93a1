"""What a transaction of the database hands to queues and streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.assembly.site import Made, Site
from runtime.services.outbox.service import Outbox

if TYPE_CHECKING:
    from runtime.kernel.component import Ports, Service


def component(site: Site, _: str) -> Made:
    """It has no parts."""

    def make(ports: Ports) -> Service:
        jobs = ports["jobs"]
        return Outbox(
            ports["storage.database"],
            jobs,
            ports["events"],
            check=jobs.check,
            mask=site.logs.redactor.text,
        )

    return Made("Outbox", make, {"name": site.spec.name})
