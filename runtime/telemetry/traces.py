"""Traces as a component: taken while it runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from runtime.errors import StartFailed
from runtime.health import Health
from runtime.telemetry.spec import TracingSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.telemetry.otlp import Otlp
    from runtime.telemetry.tracing import Tracing


class Traces:
    """Sends the environment's traces to a collector.

    Args:
        section: `observability.tracing`, as plain data.
        tracing: gets them from whoever works.
        about: attributes of the process: `service.name` and so on.

    Raises at `start`:
        StartFailed: OpenTelemetry's library is not installed.
    """

    def __init__(self, section: Mapping[str, Any], tracing: Tracing, about: Mapping[str, str]) -> None:
        self._data = section
        self._tracing = tracing
        self._about = about
        self._otlp: Otlp | None = None

    async def start(self) -> None:
        spec = TracingSpec.model_validate(self._data)
        self._otlp = await asyncio.to_thread(_opened, spec, self._about)
        self._tracing.tracer = self._otlp

    async def stop(self) -> None:
        otlp, self._otlp = self._otlp, None
        if otlp is None:
            return
        if self._tracing.tracer is otlp:
            self._tracing.tracer = None
        await asyncio.to_thread(otlp.close)

    async def update(self, fields: Mapping[str, Any]) -> None:
        """Takes what has changed, from the next span on."""
        data = {**self._data, **fields}
        spec = TracingSpec.model_validate(data)
        self._data = data
        if self._otlp is not None:
            self._otlp.update(spec)

    async def health(self) -> Health:
        if self._otlp is None:
            return Health("down", "not started")
        return Health("degraded", self._otlp.away) if self._otlp.away else Health()


def _opened(spec: TracingSpec, about: Mapping[str, str]) -> Otlp:
    """Its library takes a third of a second to load."""
    try:
        from runtime.telemetry.otlp import Otlp
    except ImportError as error:
        raise StartFailed(
            "observability.tracing",
            f"OpenTelemetry's library is not installed ({error.name})",
            remedy="pip install 'declarative-runtime[tracing]'",
        ) from error
    return Otlp(spec, about)
