"""What Prometheus and the health of notifications tell of deliveries, counted in this process."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runtime.services.notifications.channels.port import Receipt

Family = GaugeMetricFamily | CounterMetricFamily

OPEN = {"closed": 0, "probing": 1, "open": 2}


class Figures:
    """Counts what became of deliveries and of calls to providers.

    Args:
        breakers: the state of each channel's breaker.
    """

    def __init__(self, breakers: Callable[[], Mapping[str, str]]) -> None:
        self._breakers = breakers
        self.statuses: Counter[tuple[str, str]] = Counter()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.notified: Counter[str] = Counter()
        self.segments: Counter[str] = Counter()

    def took(self, category: str) -> None:
        """A notification was taken."""
        self.notified[category] += 1

    def ended(self, kind: str, status: str, count: int = 1) -> None:
        """Deliveries have come to a status."""
        self.statuses[kind, status] += count

    def tried(self, channel: str, receipt: Receipt) -> None:
        """A provider was given a message."""
        self.outcomes[channel, receipt.outcome] += 1
        if receipt.outcome == "sent" and (segments := receipt.details.get("segments")):
            self.segments[channel] += segments

    def collect(self) -> Iterator[Family]:
        taken = CounterMetricFamily("runtime_notifications", "Notifications that were taken.", labels=["category"])
        for category, count in self.notified.items():
            taken.add_metric([category], count)
        ended = CounterMetricFamily(
            "runtime_notification_deliveries", "Deliveries by what they came to.", labels=["kind", "status"]
        )
        for (kind, status), count in self.statuses.items():
            ended.add_metric([kind, status], count)
        calls = CounterMetricFamily(
            "runtime_notification_calls", "Messages given to providers.", labels=["channel", "outcome"]
        )
        for (channel, outcome), count in self.outcomes.items():
            calls.add_metric([channel, outcome], count)
        segments = CounterMetricFamily(
            "runtime_notification_segments", "Segments of text messages that providers took.", labels=["channel"]
        )
        for channel, count in self.segments.items():
            segments.add_metric([channel], count)
        breakers = GaugeMetricFamily("runtime_notification_breaker", "0 closed, 1 probing, 2 open.", labels=["channel"])
        for channel, state in self._breakers().items():
            breakers.add_metric([channel], OPEN[state])
        yield from (taken, ended, calls, segments, breakers)
