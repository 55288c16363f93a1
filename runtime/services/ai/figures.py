"""The figures of calls to models, for Prometheus; in the words of OpenTelemetry's GenAI conventions as far as they go.

Source: opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics (`gen_ai.client.operation.duration`,
`gen_ai.client.token.usage`, `gen_ai.server.time_to_first_token`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from runtime.services.ai.usage import Attempt

SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)

MOST_MODELS: Final = 300


class Figures:
    """Counts attempts; a collector of its own, so that a gateway that is replaced takes its figures with it.

    Example:
        >>> metrics.add(figures)                                                                # doctest: +SKIP
    """

    def __init__(self) -> None:
        about = ["provider", "model"]
        self._attempts = Counter(
            "runtime_ai_attempts_total",
            "Requests to providers, by outcome.",
            [*about, "outcome"],
            registry=None,
        )
        self._duration = Histogram(
            "runtime_ai_attempt_seconds",
            "Time of a request to a provider, to its last byte.",
            about,
            buckets=SECONDS,
            registry=None,
        )
        self._first = Histogram(
            "runtime_ai_first_content_seconds",
            "Time of a stream to its first content.",
            about,
            buckets=SECONDS,
            registry=None,
        )
        self._tokens = Counter("runtime_ai_tokens_total", "Tokens by kind.", [*about, "type"], registry=None)
        self._models: set[tuple[str, str]] = set()
        self._known: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}

    def attempt(self, attempt: Attempt) -> None:
        """Notes an attempt that has ended."""
        model = self._model(attempt.provider, attempt.model)
        key = (attempt.provider, model, attempt.outcome)
        if (series := self._known.get(key)) is None:
            counted = self._attempts.labels(*key)
            series = self._known[key] = (counted, self._duration.labels(attempt.provider, model))
        series[0].inc()
        series[1].observe(attempt.duration)
        usage = attempt.usage
        for kind in ("input", "cached_input", "cache_write", "output", "reasoning"):
            if number := getattr(usage, kind):
                self._tokens.labels(attempt.provider, model, kind).inc(number)

    def first(self, provider: str, model: str, seconds: float) -> None:
        """Notes that the first content of a stream has come."""
        self._first.labels(provider, self._model(provider, model)).observe(seconds)

    def _model(self, provider: str, model: str) -> str:
        """Names of models are the callers': after so many they are all one."""
        if (provider, model) not in self._models:
            if len(self._models) >= MOST_MODELS:
                return "other"
            self._models.add((provider, model))
        return model

    def collect(self) -> Iterator[Metric]:
        """What Prometheus reads."""
        for each in (self._attempts, self._duration, self._first, self._tokens):
            yield from each.collect()
