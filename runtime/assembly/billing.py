"""The ledger of credits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.assembly.site import Made, Site
from runtime.services.billing.service import Billing

if TYPE_CHECKING:
    from runtime.kernel.component import Ports, Service


def component(site: Site, _: str) -> Made:
    """It has no parts."""
    spec = site.spec.billing
    assert spec is not None  # noqa: S101 - the outline has seen it

    def make(ports: Ports) -> Service:
        outbox = ports["outbox"]
        return Billing(spec, ports["storage.database"], outbox, outbox, ports["events"])

    return Made("Credits", make, site.data["billing"])
