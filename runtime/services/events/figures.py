"""The figures of streams over time: throughput, and what Prometheus reads."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from runtime.services.events.ports import StreamView, SubscriptionView

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runtime.services.events.backend import Figures

Family = GaugeMetricFamily | CounterMetricFamily

WINDOW: Final = 60.0
"""Seconds over which throughput is measured."""


class Throughput:
    """Remembers what streams said of themselves within the last minute."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[tuple[float, Figures]]] = {}

    def note(self, stream: str, figures: Figures) -> None:
        """Takes a sample."""
        samples, now = self._samples.setdefault(stream, deque()), time.monotonic()
        samples.append((now, figures))
        while len(samples) > 2 and samples[1][0] < now - WINDOW:
            samples.popleft()

    def latest(self) -> Mapping[str, Figures]:
        """The newest sample of each stream."""
        return {stream: samples[-1][1] for stream, samples in self._samples.items() if samples}

    def view(self, stream: str, types: list[str], figures: Figures) -> StreamView:
        """A stream's figures now, with what has gone through it since the oldest sample."""
        samples = self._samples.get(stream)
        began, before = samples[0] if samples else (0.0, None)
        seconds = time.monotonic() - began

        def rate(now: int | None, then: int | None) -> float | None:
            if before is None or now is None or then is None or seconds < 1.0:
                return None
            return round(max(0, now - then) / seconds, 3)

        return StreamView(
            name=stream,
            types=types,
            length=figures.length,
            first=figures.first,
            last=figures.last,
            published=figures.added,
            per_second=rate(figures.added, before.added if before else None),
            subscriptions=[
                SubscriptionView(
                    name,
                    group.lag,
                    group.pending,
                    group.dead,
                    group.workers,
                    rate(group.given, known.given if before and (known := before.groups.get(name)) else None),
                )
                for name, group in figures.groups.items()
            ],
        )


class StreamCollector:
    """What Prometheus reads of streams: the last sample, so that a scrape asks no server.

    Args:
        throughput: holds the samples.
    """

    def __init__(self, throughput: Throughput) -> None:
        self._throughput = throughput

    def collect(self) -> Iterator[Family]:
        latest = self._throughput.latest()
        length = GaugeMetricFamily("runtime_stream_length", "Events that a stream holds.", labels=["stream"])
        added = CounterMetricFamily("runtime_stream_events", "Events published to a stream.", labels=["stream"])
        labels = ["stream", "subscription"]
        about: dict[str, Family] = {
            "lag": GaugeMetricFamily("runtime_subscription_lag", "Events not given to it yet.", labels=labels),
            "pending": GaugeMetricFamily(
                "runtime_subscription_pending", "Events in its workers' hands.", labels=labels
            ),
            "dead": GaugeMetricFamily("runtime_subscription_dead", "Its dead letters.", labels=labels),
            "workers": GaugeMetricFamily("runtime_subscription_workers", "Workers that share it.", labels=labels),
            "given": CounterMetricFamily("runtime_subscription_events", "Events given to it.", labels=labels),
        }
        for stream, figures in latest.items():
            length.add_metric([stream], figures.length)
            added.add_metric([stream], figures.added)
            for name, group in figures.groups.items():
                for field, family in about.items():
                    value = getattr(group, field)
                    if value is not None:
                        family.add_metric([stream, name], value)
        yield from (length, added, *about.values())
