"""What traces tell of calls to models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from runtime.telemetry.traces import Traces
from runtime.telemetry.tracing import Tracing
from tests.otlp import collector
from tests.services.ai.gateway.faults import breaking
from tests.services.ai.gateway.formats import KINDS, TEXT, answering
from tests.services.ai.gateway.upstream import nowhere, upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.otlp import Collector
    from tests.services.ai.gateway.conftest import Launch

NAMES = {"openai": "openai", "anthropic": "anthropic", "mistral": "mistral_ai"}


class Traced:
    """Traces on their way to a collector."""

    def __init__(self, there: Collector) -> None:
        self.there = there
        self.tracing = Tracing()
        section = {"exporter": "otlp", "endpoint": there.url}
        self.traces = Traces(section, self.tracing, {"service.name": "test"})


@pytest.fixture
async def traced() -> AsyncIterator[Traced]:
    with collector() as there:
        made = Traced(there)
        await made.traces.start()
        yield made
        await made.traces.stop()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_and_what_it_says_where_the_spec_asks_for_it(launch: Launch, traced: Traced, kind: str) -> None:
    async with upstream(answering(kind)) as server:
        gateway = await launch({kind: server.url}, tracing=traced.tracing, log_prompts=True)
        answered = await gateway.chat(f"{kind}/m-1", "A secret?", stream=True, temperature=0.5, max_tokens=50)
        assert answered.status_code == 200
        assert server.hits[0].headers["traceparent"][3:35] == answered.headers["traceresponse"][3:35]
        await traced.traces.stop()
    spans = {span.name: span for span in traced.there.spans}
    request, call, attempt = (spans[name] for name in ("POST /v1/chat/completions", f"ai chat {kind}/m-1", "chat m-1"))
    assert (call.parent, attempt.parent) == (request.id, call.id)
    about = attempt.about
    assert about["gen_ai.provider.name"] == NAMES[kind]
    assert about["gen_ai.request.stream"] is True
    assert (about["gen_ai.request.temperature"], about["gen_ai.request.max_tokens"]) == (0.5, 50)
    assert 0 < about["gen_ai.response.time_to_first_chunk"] < 20
    assert about["gen_ai.response.finish_reasons"] == ["stop"]
    assert (about["gen_ai.usage.input_tokens"], about["gen_ai.usage.output_tokens"]) == (9, 4)
    asked = [{"role": "user", "parts": [{"type": "text", "content": "A secret?"}]}]
    assert json.loads(about["gen_ai.input.messages"]) == asked
    (said,) = json.loads(about["gen_ai.output.messages"])
    assert said["parts"] == [{"type": "text", "content": TEXT}]
    assert not any(span.failed for span in (request, call, attempt))


async def test_failures_have_their_class_and_prompts_are_not_told(launch: Launch, traced: Traced) -> None:
    async with upstream(breaking("openai", "truncation")) as cut:
        sections = {"openai": cut.url, "mistral": await nowhere()}
        gateway = await launch(sections, tracing=traced.tracing, chains={"all": {"models": ["mistral/a", "openai/b"]}})
        answered = await gateway.chat("all", "A secret?", stream=True)
        assert '"truncated"' in answered.text
        refused = await gateway.chat("mistral/c", "A secret?")
        assert refused.status_code == 502
        await traced.traces.stop()
    spans = {span.name: span for span in traced.there.spans}
    assert [spans[name].about["error.type"] for name in ("chat a", "chat b", "ai chat all")] == [
        "connection",
        "truncated",
        "truncated",
    ]
    assert spans["ai chat all"].about["runtime.ai.attempts"] == 3
    assert spans["chat b"].about["runtime.ai.estimated"] is True
    assert spans["ai chat mistral/c"].about["error.type"] == "ProviderFault"
    whole = [span for span in traced.there.spans if span.about.get("http.response.status_code") == 502]
    assert [span.failed for span in whole] == [True]
    assert "A secret?" not in json.dumps([span.about for span in traced.there.spans])
