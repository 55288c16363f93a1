"""The figures of calls to models, for Prometheus.

Those whose names begin with `gen_ai_` are by OpenTelemetry's GenAI conventions for client metrics, of the semantic
conventions 1.42 (in development as a whole), in the form that they have in Prometheus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Histogram

from runtime.services.ai.spans import PROVIDERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.core import Metric

    from runtime.services.ai.usage import Attempt

SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS: Final = tuple(4**power for power in range(14))

MOST_MODELS: Final = 300


class Figures:
    """Counts attempts; a collector of its own, so that a gateway that is replaced takes its figures with it.

    Args:
        kinds: the kind of each provider by its name in the spec.

    Example:
        >>> metrics.add(figures)                                                                # doctest: +SKIP
    """

    def __init__(self, kinds: Mapping[str, str] | None = None) -> None:
        self._kinds = kinds or {}
        about = ["provider", "model"]
        named = ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "provider"]
        self._attempts = Counter(
            "runtime_ai_attempts_total",
            "Requests to providers, by outcome.",
            [*about, "outcome"],
            registry=None,
        )
        self._kinds_of_tokens = Counter("runtime_ai_tokens_total", "Tokens by kind.", [*about, "type"], registry=None)
        self._duration = Histogram(
            "gen_ai_client_operation_duration_seconds",
            "Time of a request to a provider, to its last byte.",
            [*named, "error_type"],
            buckets=SECONDS,
            registry=None,
        )
        self._first = Histogram(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "Time of a stream to its first content.",
            named,
            buckets=SECONDS,
            registry=None,
        )
        self._usage = Histogram(
            "gen_ai_client_token_usage",
            "Tokens in and out of a request to a provider.",
            [*named, "gen_ai_token_type"],
            buckets=TOKENS,
            registry=None,
        )
        self._models: set[tuple[str, str]] = set()
        self._known: dict[tuple[str, str, str, str], tuple[Counter, Histogram, Histogram, Histogram]] = {}

    def attempt(self, attempt: Attempt, operation: str) -> None:
        """Notes an attempt that has ended."""
        model = self._model(attempt.provider, attempt.model)
        key = (attempt.provider, model, attempt.outcome, operation)
        if (series := self._known.get(key)) is None:
            series = self._known[key] = self._series(*key)
        attempts, duration, tokens_in, tokens_out = series
        attempts.inc()
        duration.observe(attempt.duration)
        usage = attempt.usage
        if not usage.total:
            return
        for kind in ("input", "cached_input", "cache_write", "output", "reasoning"):
            if number := getattr(usage, kind):
                self._kinds_of_tokens.labels(attempt.provider, model, kind).inc(number)
        tokens_in.observe(usage.input + usage.cached_input + usage.cache_write)
        tokens_out.observe(usage.output + usage.reasoning)

    def first(self, provider: str, model: str, seconds: float) -> None:
        """Notes that the first content of a stream has come."""
        self._first.labels(*self._named("chat", provider, self._model(provider, model))).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """What Prometheus reads."""
        for each in (self._attempts, self._kinds_of_tokens, self._duration, self._first, self._usage):
            yield from each.collect()

    def _series(
        self, provider: str, model: str, outcome: str, operation: str
    ) -> tuple[Counter, Histogram, Histogram, Histogram]:
        named = self._named(operation, provider, model)
        return (
            self._attempts.labels(provider, model, outcome),
            self._duration.labels(*named, "" if outcome == "ok" else outcome),
            self._usage.labels(*named, "input"),
            self._usage.labels(*named, "output"),
        )

    def _named(self, operation: str, provider: str, model: str) -> tuple[str, str, str, str]:
        kind = self._kinds.get(provider, provider)
        return operation, PROVIDERS.get(kind, kind), model, provider

    def _model(self, provider: str, model: str) -> str:
        """Names of models are the callers': after so many they are all one."""
        if (provider, model) not in self._models:
            if len(self._models) >= MOST_MODELS:
                return "other"
            self._models.add((provider, model))
        return model
