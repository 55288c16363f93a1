"""Traces on their way to a collector: one that is there, one that comes late, one that never does."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace

from runtime.telemetry import otlp
from runtime.telemetry.context import traceparent
from runtime.telemetry.traces import Traces
from runtime.telemetry.tracing import NEW, Tracing
from tests.otlp import Collector, collector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ABOUT = {"service.name": "test", "service.version": "1"}
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0{}"


@pytest.fixture
async def there() -> AsyncIterator[Collector]:
    with collector() as made:
        yield made


def nowhere() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def section(endpoint: str, **fields: object) -> dict[str, object]:
    return {"exporter": "otlp", "endpoint": endpoint, **fields}


async def test_spans_come_with_their_parents_and_the_context_is_given_back(there: Collector) -> None:
    tracing = Tracing()
    traces = Traces(section(there.url, headers={"authorization": "Bearer of-traces"}), tracing, ABOUT)
    await traces.start()
    assert tracing.tracer is not None
    outer = tracing.tracer.begin("outer", "server", {"a": 1}, parent=PARENT.format(1), state="vendor=1")
    assert traceparent.get() == outer.traceparent
    inner = tracing.tracer.begin("inner", "client", {})
    with trace.get_tracer("of the user's own code").start_as_current_span("theirs"):
        pass
    inner.end("timeout")
    assert traceparent.get() == outer.traceparent
    outer.rename("renamed")
    outer.end()
    assert traceparent.get() is None
    await traces.stop()  # sends what is left
    assert tracing.tracer is None
    spans = {span.name: span for span in there.spans}
    assert spans["inner"].parent == spans["renamed"].id
    assert spans["renamed"].parent == "00f067aa0ba902b7"
    assert spans["renamed"].trace == spans["inner"].trace == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (spans["inner"].failed, spans["inner"].about["error.type"], spans["renamed"].failed) == (
        True,
        "timeout",
        False,
    )
    assert spans["renamed"].resource["service.name"] == "test"
    assert there.headers[0]["authorization"] == "Bearer of-traces"
    await traces.stop()


async def test_a_share_is_taken_and_it_changes_while_it_runs(there: Collector) -> None:
    tracing = Tracing()
    traces = Traces(section(there.url, sample=0.0), tracing, ABOUT)
    await traces.start()
    assert tracing.tracer is not None
    for parent, taken in ((NEW, False), (PARENT.format(1), True), (PARENT.format(0), False)):
        span = tracing.tracer.begin("one", "server", {}, parent=parent)
        assert span.recorded is taken
        assert int(span.traceparent[-2:], 16) & 1 == taken
        span.end()
    await traces.update({"sample": 1.0})
    span = tracing.tracer.begin("all", "server", {}, parent=NEW)
    assert span.recorded
    span.end()
    await traces.stop()
    assert sorted(span.name for span in there.spans) == ["all", "one"]


async def test_a_collector_that_is_away_is_told_of_once_and_slows_nothing(
    there: Collector, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "PATIENCE", 0.5)
    monkeypatch.setattr(otlp, "INTERVAL", 0.1)
    caplog.set_level(logging.INFO, "runtime.tracing")
    tracing = Tracing()
    traces = Traces(section(nowhere()), tracing, ABOUT)
    await traces.start()
    assert tracing.tracer is not None

    def some(count: int) -> None:
        assert tracing.tracer is not None
        for _ in range(count):
            tracing.tracer.begin("lost", "internal", {}, parent=NEW).end()

    async def until_it_is(status: str) -> None:
        async with asyncio.timeout(20):
            while (await traces.health()).status != status:
                some(1)
                await asyncio.sleep(0.05)

    await until_it_is("degraded")
    began = time.monotonic()
    some(5000)  # more than the queue holds
    assert time.monotonic() - began < 10  # seconds; a single waiting for the collector would take as long
    said = [record.message for record in caplog.records if record.name == "runtime.tracing"]
    assert len(said) == 1
    assert "does not take traces" in said[0]
    await traces.update({"endpoint": there.url})
    await until_it_is("operational")
    assert any("again" in record.message for record in caplog.records)
    assert there.spans
    await traces.stop()


async def test_an_end_does_not_wait_for_a_collector_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "FLUSH", 0.2)
    tracing = Tracing()
    traces = Traces(section(nowhere()), tracing, ABOUT)
    await traces.start()
    assert tracing.tracer is not None
    tracing.tracer.begin("lost", "internal", {}, parent=NEW).end()
    async with asyncio.timeout(15):
        await traces.stop()


def test_without_an_exporter_nothing_that_traces_is_loaded() -> None:
    # redis-py loads OpenTelemetry's metrics by itself, where they are installed.
    code = """
import json, sys
import runtime.assembly.http, runtime.assembly.jobs, runtime.assembly.observability, runtime.assembly.ai
tracing = ("opentelemetry.sdk.trace.", "opentelemetry.exporter", "opentelemetry.proto", "runtime.telemetry.otlp")
print(json.dumps([name for name in sys.modules if name.startswith(tracing)]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
