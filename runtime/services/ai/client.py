"""One declared provider, as a component: its SDK loaded, its connections open, its key the newest."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import TypeAdapter

from runtime.errors import StartFailed
from runtime.health import Health
from runtime.services.ai.failures import Failure
from runtime.services.ai.spec import AnyProvider, MistralProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime.services.ai.adapters.transport import Transport
    from runtime.services.ai.provider import Endpoint, Provider

KEEP_ALIVE = 45.0
KEEP_ALIVE_NEAR = 4.0
"""Seconds that an idle connection is kept: to a server of one's own, whose patience is often five seconds, fewer."""

_section: TypeAdapter[AnyProvider] = TypeAdapter(AnyProvider)


class _Closing(Protocol):
    async def close(self) -> None: ...


class ProviderClient:
    """Holds a provider for as long as the component lives.

    Args:
        name: in the spec.
        section: its section, as plain data.

    Raises at `start`:
        StartFailed: the SDK is not installed, or refuses what the spec says.
    """

    def __init__(self, name: str, section: Mapping[str, Any]) -> None:
        self.name = name
        self.spec: AnyProvider = _section.validate_python(section)
        self._data = section
        self._models: Provider | None = None
        self._transport: Transport | None = None
        self._closing: list[_Closing] = []
        self.renewed: Callable[[], None] = lambda: None
        """Called when its key has changed."""

    @property
    def models(self) -> Provider:
        """What the gateway asks.

        Raises:
            Failure: the component is being restarted.
        """
        if self._models is None:
            raise Failure("connection", f"{self.name} is being restarted")
        return self._models

    async def start(self) -> None:
        from runtime.services.ai.adapters.echo import EchoProvider

        if self.spec.kind == "echo":
            self._models = EchoProvider()
            return
        from runtime.services.ai.adapters.transport import Transport

        endpoint = await self._endpoint()
        keep_alive = KEEP_ALIVE_NEAR if self.spec.kind == "openai-compatible" else KEEP_ALIVE
        self._transport = Transport(keep_alive=keep_alive)
        self._models = self._made(endpoint, self._transport)

    async def stop(self) -> None:
        transport, self._transport, self._models = self._transport, None, None
        if transport is not None:
            await transport.close()
        closing, self._closing = self._closing, []
        for each in closing:
            await each.close()

    async def update(self, fields: Mapping[str, Any]) -> None:
        """Takes what has changed; a new key holds from the next request on, those that run keep theirs."""
        from runtime.services.ai.provider import RemoteProvider

        before = self._data, self.spec
        self._data = {**self._data, **fields}
        self.spec = _section.validate_python(self._data)
        if "api_key" in fields and isinstance(self._models, RemoteProvider):
            try:
                self._models.endpoint = await self._endpoint()
            except StartFailed:
                self._data, self.spec = before
                raise
            self.renewed()

    async def health(self) -> Health:
        if self._models is None:
            return Health("down", "not started")
        return Health(details={"kind": self.spec.kind, "address": getattr(self.spec, "base_url", None)})

    async def _endpoint(self) -> Endpoint:
        try:
            # Loading an SDK takes up to two seconds.
            kind = await asyncio.to_thread(_sdk, self.spec.kind)
            made: Any = kind(self.name, self.spec)
        except ImportError as error:
            raise StartFailed(
                f"ai.{self.name}",
                f"the SDK of {self.spec.kind} is not installed ({error.name})",
                remedy="pip install 'declarative-runtime[ai]'",
            ) from error
        except (ValueError, TypeError) as error:
            raise StartFailed(f"ai.{self.name}", f"{self.spec.kind} cannot be set up: {error}") from error
        self._closing.append(made)
        endpoint: Endpoint = made
        return endpoint

    def _made(self, endpoint: Endpoint, transport: Transport) -> Provider:
        from runtime.services.ai.adapters.anthropic import AnthropicRemote
        from runtime.services.ai.adapters.mistral import MistralRemote
        from runtime.services.ai.provider import RemoteProvider
        from runtime.services.ai.wire.anthropic import AnthropicWire
        from runtime.services.ai.wire.mistral import MistralWire
        from runtime.services.ai.wire.openai import OpenAiWire

        if self.spec.kind == "anthropic":
            return AnthropicRemote(endpoint, AnthropicWire(), transport)
        if self.spec.kind == "mistral":
            return MistralRemote(endpoint, MistralWire(self._safe_prompt), transport)
        if self.spec.kind == "openai-compatible":
            return RemoteProvider(endpoint, OpenAiWire("max_tokens"), transport)
        return RemoteProvider(endpoint, OpenAiWire(), transport)

    def _safe_prompt(self) -> bool:
        return isinstance(self.spec, MistralProvider) and self.spec.safe_prompt


def _sdk(kind: str) -> Any:
    """The endpoint of a kind, with its SDK loaded."""
    if kind == "anthropic":
        from runtime.services.ai.adapters import anthropic

        return anthropic.endpoint()
    if kind == "mistral":
        from runtime.services.ai.adapters import mistral

        return mistral.endpoint()
    from runtime.services.ai.adapters import openai

    return openai.endpoint()
