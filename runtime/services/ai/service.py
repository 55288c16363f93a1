"""The AI service: the gateway with all that it stands on, as one component."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from runtime.errors import Invalid
from runtime.health import Health
from runtime.services.ai.catalogue import models
from runtime.services.ai.gateway import Gateway
from runtime.services.ai.registry import Registry
from runtime.services.ai.request import ChatRequest
from runtime.telemetry.tracing import Tracing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from runtime.services.ai.accounting import Accounting
    from runtime.services.ai.breaker import Conditions
    from runtime.services.ai.client import ProviderClient
    from runtime.services.ai.figures import Figures
    from runtime.services.ai.ports import Completion, ProviderView
    from runtime.services.ai.settings import Settings
    from runtime.services.secrets.ports import ProviderKeys
    from runtime.telemetry.metrics import Metrics


class AiService:
    """Models of several providers behind one interface; implements the port `Ai`.

    Args:
        settings: the `ai` section.
        clients: the declared providers, started.
        conditions: where their states are kept.
        accounting: keeps the books.
        keys: users' own keys; None where the spec keeps none.
        metrics: where the figures are shown; None for nowhere.
        tracing: where calls are traced.
    """

    def __init__(
        self,
        settings: Settings,
        clients: Mapping[str, ProviderClient],
        conditions: Conditions,
        accounting: Accounting,
        figures: Figures,
        *,
        keys: ProviderKeys | None = None,
        metrics: Metrics | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._settings = settings
        self._conditions = conditions
        self.registry = Registry(clients, conditions, lambda: settings.spec.breaker)
        self.gateway = Gateway(lambda: settings.spec, self.registry, accounting, figures, keys, tracing or Tracing())
        self._figures = figures
        self._metrics = metrics
        self._shown = False
        self._background: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await self._conditions.refresh()
        for name, client in self.registry.clients.items():
            client.renewed = lambda name=name: self._soon(name)  # type: ignore[misc]
        if self._metrics is not None and not self._shown:
            self._metrics.add(self._figures)
            self._shown = True

    async def watch(self) -> None:
        await self.registry.run()

    async def stop(self) -> None:
        if self._metrics is not None and self._shown:
            self._metrics.remove(self._figures)
            self._shown = False

    async def update(self, fields: Mapping[str, Any]) -> None:
        self._settings.update(fields)

    async def health(self) -> Health:
        views = self.registry.views()
        details = {view.name: {"state": view.state, "reason": view.reason or None} for view in views}
        away = [view for view in views if view.state != "active"]
        if not away:
            return Health(details=details)
        told = "; ".join(f"{view.name}: {view.state} ({view.reason})" for view in away)
        return Health("down" if len(away) == len(views) else "degraded", told, details)

    async def chat(
        self, request: Mapping[str, Any] | bytes, *, user: str, key: str = "", key_credits: Decimal | None = None
    ) -> Completion:
        asked = ChatRequest(_body(request, drop="stream"))
        return await self.gateway.complete(asked, user=user, key=key or user, key_credits=key_credits)

    async def embed(
        self, request: Mapping[str, Any] | bytes, *, user: str, key: str = "", key_credits: Decimal | None = None
    ) -> Completion:
        return await self.gateway.embed(_body(request), user=user, key=key or user, key_credits=key_credits)

    def providers(self) -> Sequence[ProviderView]:
        return self.registry.views()

    def models(self) -> list[dict[str, Any]]:
        """Every name that `model` may have, in OpenAI's form."""
        return models(self._settings.spec)

    def _soon(self, provider: str) -> None:
        task = asyncio.get_running_loop().create_task(self.registry.renewed(provider))
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _body(request: Mapping[str, Any] | bytes, *, drop: str = "") -> bytes:
    if isinstance(request, bytes):
        return request
    try:
        return msgspec.json.encode({name: value for name, value in request.items() if name != drop})
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"the request is no JSON: {error}") from error
