"""What traces tell of calls to models: one span for a call, and one within it for each request to a provider.

Source: OpenTelemetry's GenAI conventions for client spans, of the semantic conventions 1.42 (in development as a
whole); what is ours begins with `runtime.`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.ai.accounting import Candidate
    from runtime.services.ai.plan import Plan
    from runtime.services.ai.request import ChatRequest
    from runtime.services.ai.spec import AnyProvider
    from runtime.services.ai.usage import Attempt, Usage
    from runtime.telemetry.tracing import Span, Tracer, Tracing, Value

PROVIDERS: Final = {"openai-compatible": "openai", "mistral": "mistral_ai"}
"""The conventions' word for a kind of provider, where it is another than ours: it names the format that is spoken."""

_SETTINGS: Final = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "seed": "gen_ai.request.seed",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
}

_FINISH: Final = re.compile(rb'"finish_reason":\s*"(\w+)"')


class Untraced:
    """The spans of a call that nobody traces: none."""

    def __enter__(self) -> Untraced:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        pass

    def attempt(
        self, candidate: Candidate, spec: AnyProvider, *, number: int, limit: int | None, streamed: bool
    ) -> AttemptSpan | None:
        """A request to a provider begins."""
        return None

    def spent(self, attempts: int, cost: int) -> None:
        """What the call came to: requests that were sent, nano-dollars."""

    def end(self, error: str = "") -> None:
        """The call is over.

        Args:
            error: the class of what it ended with; empty for none.
        """


class Call(Untraced):
    """The spans of one call; as a block, it ends with it.

    Args:
        span: of the whole call, begun.
        request: what is asked; None for what is no chat.
        prompts: whether the spans tell what is asked and answered.
    """

    def __init__(
        self, tracer: Tracer, span: Span, operation: str, request: ChatRequest | None, *, prompts: bool
    ) -> None:
        self._tracer = tracer
        self._span = span
        self._operation = operation
        self._request = request
        self._prompts = prompts

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.end(kind.__name__ if kind is not None else "")

    def attempt(
        self, candidate: Candidate, spec: AnyProvider, *, number: int, limit: int | None, streamed: bool
    ) -> AttemptSpan:
        about: dict[str, Value] = {
            "gen_ai.operation.name": self._operation,
            "gen_ai.provider.name": PROVIDERS.get(spec.kind, spec.kind),
            "gen_ai.request.model": candidate.model,
            "runtime.ai.provider": candidate.provider,
            "runtime.ai.attempt": number,
            **_server(spec),
        }
        if streamed:
            about["gen_ai.request.stream"] = True
        if self._request is not None:
            about |= _settings(self._request, limit)
            if self._prompts:
                about["gen_ai.input.messages"] = _asked(self._request)
        span = self._tracer.begin(f"{self._operation} {candidate.model}", "client", about)
        return AttemptSpan(span, tells=self._prompts)

    def spent(self, attempts: int, cost: int) -> None:
        self._span.set("runtime.ai.attempts", attempts)
        self._span.set("runtime.ai.cost", cost)

    def end(self, error: str = "") -> None:
        self._span.end(error)


class AttemptSpan:
    """The span of one request to a provider.

    Args:
        tells: whether it tells what the model has answered.
    """

    def __init__(self, span: Span, *, tells: bool) -> None:
        self._span = span
        self._said: list[str] | None = [] if tells and span.recorded else None
        self._named = False
        self._finish: list[str] = []

    def first(self, seconds: float) -> None:
        """The first content of a stream has come."""
        self._span.set("gen_ai.response.time_to_first_chunk", seconds)

    def came(self, data: bytes, text: str) -> None:
        """Notes what has come: an answer, or events of a stream, in OpenAI's format."""
        if not self._span.recorded or not data:
            return
        if not self._named:
            self._named = True
            self._name(data)
        self._finish += [reason.decode() for reason in _FINISH.findall(data)]
        if self._said is not None and text:
            self._said.append(text)

    def _name(self, data: bytes) -> None:
        body = data.split(b"\n", 1)[0].removeprefix(b"data: ")
        try:
            answer = _answer.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        for name, value in (("gen_ai.response.id", answer.id), ("gen_ai.response.model", answer.model)):
            if value:
                self._span.set(name, value)

    def end(self, attempt: Attempt) -> None:
        """It is over, and in the ledger."""
        span, usage = self._span, attempt.usage
        if usage.total:
            _count(span, usage)
        if self._finish:
            span.set("gen_ai.response.finish_reasons", self._finish)
        if attempt.status is not None:
            span.set("http.response.status_code", attempt.status)
        if self._said is not None:
            parts = [{"type": "text", "content": "".join(self._said)}]
            finish = self._finish[0] if self._finish else attempt.outcome
            told = [{"role": "assistant", "parts": parts, "finish_reason": finish}]
            span.set("gen_ai.output.messages", msgspec.json.encode(told).decode())
        span.end("" if attempt.outcome == "ok" else attempt.outcome)

    def discard(self) -> None:
        """Nothing was sent."""
        self._span.discard()


UNTRACED: Final = Untraced()


def begun(
    tracing: Tracing, plan: Plan, operation: str, request: ChatRequest | None = None, *, prompts: bool = False
) -> Untraced:
    """A call begins."""
    tracer = tracing.tracer
    if tracer is None:
        return UNTRACED
    asked = plan.chain or "/".join(plan.models[0])
    about: dict[str, Value] = {"runtime.ai.chain": plan.chain} if plan.chain else {}
    span = tracer.begin(f"ai {operation} {asked}", "internal", about)
    if not span.recorded:
        span.end()
        return UNTRACED
    return Call(tracer, span, operation, request, prompts=prompts)


class _Answer(msgspec.Struct):
    id: str | None = None
    model: str | None = None


_answer = msgspec.json.Decoder(_Answer)


def _count(span: Span, usage: Usage) -> None:
    # The sums hold their parts, cached tokens too.
    span.set("gen_ai.usage.input_tokens", usage.input + usage.cached_input + usage.cache_write)
    span.set("gen_ai.usage.output_tokens", usage.output + usage.reasoning)
    if usage.cached_input:
        span.set("gen_ai.usage.cache_read.input_tokens", usage.cached_input)
    if usage.cache_write:
        span.set("gen_ai.usage.cache_creation.input_tokens", usage.cache_write)
    if usage.reasoning:
        span.set("gen_ai.usage.reasoning.output_tokens", usage.reasoning)
    if usage.estimated:
        span.set("runtime.ai.estimated", True)


def _server(spec: AnyProvider) -> dict[str, Value]:
    address = getattr(spec, "base_url", None)
    if address is None:
        return {}
    parts = urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"server.address": parts.hostname or "", "server.port": port}


def _settings(request: ChatRequest, limit: int | None) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for field, name in _SETTINGS.items():
        value: Any = msgspec.json.decode(request.fields[field]) if field in request.fields else None
        if isinstance(value, int | float):
            found[name] = value
    if (most := request.limited(limit)) is not None:
        found["gen_ai.request.max_tokens"] = most
    if request.choices != 1:
        found["gen_ai.request.choice.count"] = request.choices
    return found


def _asked(request: ChatRequest) -> str:
    """The messages in the conventions' form; of parts that are no text only their type is told."""
    messages = [
        {"role": message.get("role"), "parts": _parts(message.get("content"))} for message in request.plain["messages"]
    ]
    return msgspec.json.encode(messages).decode()


def _parts(content: Any) -> Sequence[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "content": content}]
    parts = [part for part in content or () if isinstance(part, dict)] if isinstance(content, list) else []
    return [
        {"type": "text", "content": part.get("text")} if part.get("type") == "text" else {"type": part.get("type")}
        for part in parts
    ]
