"""What providers report later: delivered, bounced, complained about, stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runtime.errors import NotFound
from runtime.services.names import unknown
from runtime.services.notifications.store import addresses, deliveries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime.services.notifications.channels.port import Callback, Channel, Event, Report
    from runtime.services.notifications.declared import Declared
    from runtime.services.notifications.figures import Figures
    from runtime.services.notifications.ports import Delivery
    from runtime.services.notifications.spec import SuppressionSpec
    from runtime.services.outbox.ports import Inbox, Transaction

KEPT: Final = 7 * 86_400.0
"""Seconds for which a report is known that is sent again."""

STATUSES: Final[Mapping[Event, tuple[str, tuple[str, ...]]]] = {
    "delivered": ("delivered", ("sent", "sending", "queued")),
    "bounced": ("bounced", ("sent", "sending", "delivered", "failed")),
    "complained": ("complained", ("sent", "delivered", "read")),
    "failed": ("failed", ("sent", "sending")),
    "stopped": ("failed", ("sent", "sending")),
}
"""The status of a delivery after a report, and those before it that the report may change.

A report that names our own delivery may come before we have noted what the provider answered (`sending`), and of a
message whose answer was lost, so that it waits for another try (`queued`), which it then no longer needs.
"""


class Reports:
    """Takes the callbacks of providers.

    Args:
        inbox: makes each report count once.
        told: is called with each delivery that has come to another end.
    """

    def __init__(
        self,
        declared: Declared,
        channels: Mapping[str, Channel],
        inbox: Inbox,
        figures: Figures,
        told: Callable[[Delivery, str, str], None],
    ) -> None:
        self._declared = declared
        self._channels = channels
        self._inbox = inbox
        self._figures = figures
        self._told = told

    async def called(self, channel: str, callback: Callback) -> int:
        if channel not in self._declared.spec.channels:
            raise unknown("channel", channel, self._declared.spec.channels)
        if channel not in self._channels:
            raise NotFound(f'the channel "{channel}" takes no callbacks')
        reports, new = self._channels[channel].reports(callback), 0
        for report in reports:
            new += await self._take(channel, report)
        return new

    async def _take(self, channel: str, report: Report) -> bool:
        unique = report.unique or f"{report.event}:{report.id}:{report.address}"
        async with self._inbox.once(f"notifications:{channel}", unique[:255], KEPT) as tx:
            if tx is None:
                return False
            delivery = await self._delivery(tx, channel, report)
            moved = False
            if delivery is not None and report.event in STATUSES:
                status, allowed = STATUSES[report.event]
                moved = await deliveries.move(tx.connection, delivery.id, status, report.reason, allowed)
            address = (delivery.address if delivery is not None else None) or report.address
            if address and (moved or delivery is None or report.event == "stopped"):
                await self._count(tx, self._channels[channel].kind, address, report, self._declared.spec.suppression)
        if moved and delivery is not None:
            self._figures.ended(delivery.kind, STATUSES[report.event][0])
            self._told(delivery, STATUSES[report.event][0], report.reason)
        return True

    async def _delivery(self, tx: Transaction, channel: str, report: Report) -> Delivery | None:
        if report.delivery is not None:
            found = await deliveries.find(tx.connection, report.delivery)
            return found if found is not None and found.kind == self._channels[channel].kind else None
        if report.id is None:
            return None
        return await deliveries.of_provider(tx.connection, report.id, [channel])

    async def _count(self, tx: Transaction, kind: str, address: str, report: Report, limits: SuppressionSpec) -> None:
        reason = report.reason or report.event
        if report.event == "bounced":
            await addresses.count_against(tx.connection, kind, address, "bounces", limits.bounces, reason, limits.ttl)
        elif report.event == "complained":
            await addresses.count_against(
                tx.connection, kind, address, "complaints", limits.complaints, reason, limits.ttl
            )
        elif report.event == "stopped":
            await addresses.count_against(tx.connection, kind, address, "complaints", 1, reason, None)
        elif report.event == "started":
            await addresses.absolve(tx.connection, kind, address)
