"""Figures for Prometheus, in a registry of the environment's own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""The buckets of a duration: from a cached answer to a long wait."""


class _Observed(Protocol):
    def observe(self, amount: float) -> None: ...


class Metrics:
    """The figures of an environment, and the hooks by which services add theirs.

    Every name begins with `runtime_`, but for those of the process itself.

    Example:
        >>> metrics = Metrics("core", "0.1.0")
        >>> ran = metrics.counter("jobs_total", "Jobs that ended, by queue and status.", ["queue", "status"])
        >>> ran.labels("email", "completed").inc()
    """

    def __init__(self, name: str, version: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.gauge("info", "The environment and its version.", ["name", "version"]).labels(name, version).set(1)
        self.gauge("start_time_seconds", "When it was started, in Unix time.").set(time.time())
        self._requests = self.histogram(
            "http_request_seconds",
            "Time to answer, by route, method and status.",
            ["route", "method", "status"],
        )
        self._known: dict[tuple[str, str, int], _Observed] = {}
        self._added: dict[type[Collector], list[Collector]] = {}

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Notes one HTTP request.

        Args:
            route: the template, `/v1/jobs/{job_id}`, never the path itself: a path would make a series a
                job.
        """
        key = (route, method, status)
        series = self._known.get(key)
        if series is None:
            series = self._known[key] = self._requests.labels(route, method, str(status))
        series.observe(seconds)

    def counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
        """A figure that only grows; `name` ends with `_total`."""
        return Counter(f"runtime_{name}", meaning, labels, registry=self.registry)

    def gauge(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
        """A figure that comes and goes."""
        return Gauge(f"runtime_{name}", meaning, labels, registry=self.registry)

    def histogram(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Histogram:
        """How often what took how long, in seconds."""
        return Histogram(f"runtime_{name}", meaning, labels, buckets=SECONDS, registry=self.registry)

    def add(self, collector: Collector) -> None:
        """Adds figures that are read when they are asked for, such as the depth of a queue.

        Of several of one class the newest is shown: a service that takes the place of another shows the same
        figures, and the other may be there yet.
        """
        same = self._added.setdefault(type(collector), [])
        if collector in same:
            return
        if same:
            self.registry.unregister(same[-1])
        self.registry.register(collector)
        same.append(collector)

    def remove(self, collector: Collector) -> None:
        """Takes a collector, or one of the figures above, out again; one that is not there does no harm."""
        same = self._added.get(type(collector))
        if same is None:
            self.registry.unregister(collector)
        elif collector in same:
            shown = collector is same[-1]
            same.remove(collector)
            if shown:
                self.registry.unregister(collector)
                if same:
                    self.registry.register(same[-1])

    def render(self) -> bytes:
        """All figures in Prometheus's text format."""
        return generate_latest(self.registry)
