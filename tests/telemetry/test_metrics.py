"""The figures of an environment."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from runtime.telemetry.metrics import Metrics


def test_two_environments_share_nothing() -> None:
    one, two = Metrics("one", "1"), Metrics("two", "1")
    one.request("/v1/jobs/{job_id}", "GET", 200, 0.003)
    assert b"/v1/jobs" in one.render()
    assert b"/v1/jobs" not in two.render()
    assert not any(name.startswith("runtime_") for name in REGISTRY._names_to_collectors)


def test_a_request_falls_into_its_bucket() -> None:
    metrics = Metrics("one", "1")
    for seconds in (0.003, 0.003, 0.2):
        metrics.request("/a", "GET", 200, seconds)
    samples = {
        sample.labels.get("le"): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if sample.name == "runtime_http_request_seconds_bucket"
    }
    assert (samples["0.0025"], samples["0.005"], samples["0.25"], samples["+Inf"]) == (0, 2, 3, 3)


def test_services_add_theirs_and_take_them_out_again() -> None:
    metrics = Metrics("one", "1")
    ran = metrics.counter("jobs_total", "Jobs that ended.", ["queue"])
    depth = metrics.gauge("queue_depth", "Jobs that wait.", ["queue"])
    ran.labels("email").inc()
    depth.labels("email").set(4)
    text = metrics.render().decode()
    assert 'runtime_jobs_total{queue="email"} 1.0' in text
    assert 'runtime_queue_depth{queue="email"} 4.0' in text
    with pytest.raises(ValueError, match="Duplicated"):
        metrics.counter("jobs_total", "Again.", ["queue"])
    metrics.remove(ran)
    assert "runtime_jobs_total" not in metrics.render().decode()
    metrics.counter("jobs_total", "Again.", ["queue"])


class Shown:
    def __init__(self, value: float) -> None:
        self.value = value

    def collect(self) -> list[GaugeMetricFamily]:
        return [GaugeMetricFamily("runtime_shown", "What is shown.", value=self.value)]


def test_of_two_that_show_the_same_the_newest_counts_while_it_is_there() -> None:
    def shown() -> list[str]:
        return [line for line in metrics.render().decode().splitlines() if line.startswith("runtime_shown")]

    metrics, old, new = Metrics("one", "1"), Shown(1), Shown(2)
    metrics.add(old)
    metrics.add(new)
    metrics.add(new)
    assert shown() == ["runtime_shown 2.0"]
    metrics.remove(new)  # its start failed
    assert shown() == ["runtime_shown 1.0"]
    metrics.add(new)
    metrics.remove(old)
    assert shown() == ["runtime_shown 2.0"]
    metrics.remove(old)
    metrics.remove(new)
    assert shown() == []


def test_the_process_is_measured() -> None:
    text = Metrics("core", "0.1.0").render().decode()
    assert 'runtime_info{name="core",version="0.1.0"} 1.0' in text
    assert "process_resident_memory_bytes" in text
    assert "python_info" in text
