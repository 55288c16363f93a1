"""Anthropic: what the `anthropic` package knows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runtime.services.ai.adapters.endpoint import SdkEndpoint
from runtime.services.ai.provider import RemoteProvider
from runtime.services.ai.wire.parts import Unsupported

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx2
    import msgspec

    from runtime.services.ai.pieces import Answer
    from runtime.services.ai.spec import AnthropicProvider

ADDRESS: Final = "https://api.anthropic.com"


class AnthropicEndpoint(SdkEndpoint):
    """Where Anthropic is and how to sign in, as its SDK has it.

    Args:
        name: the provider's in the spec.
        spec: its section.
    """

    def __init__(self, name: str, spec: AnthropicProvider) -> None:
        from anthropic import AsyncAnthropic

        self._client = AsyncAnthropic(
            api_key=spec.api_key.get_secret_value(), base_url=spec.base_url or ADDRESS, max_retries=0
        )
        self._client.auth_token = None  # the SDK would take one from the environment's variables
        super().__init__(name, str(self._client.base_url), self._signed(self._client))

    @staticmethod
    def _signed(client: object) -> dict[str, str]:
        known = {**client.default_headers, **client.auth_headers}  # type: ignore[attr-defined]
        return {name: value for name, value in known.items() if isinstance(value, str)}

    def headers(self, key: str | None) -> Mapping[str, str]:
        return self._headers if key is None else self._signed(self._client.copy(api_key=key))

    def _error(self, response: httpx2.Response) -> Exception:
        return self._client._make_status_error_from_response(response)  # noqa: SLF001 - the SDK's only way to its errors

    async def close(self) -> None:
        await self._client.close()


class AnthropicRemote(RemoteProvider):
    """Anthropic over HTTP: it has neither embeddings nor a moderation."""

    async def embed(self, fields: Mapping[str, msgspec.Raw], model: str, *, key: str | None = None) -> Answer:
        raise Unsupported("Anthropic has no embeddings", remedy="Ask a model of another provider.")

    async def moderate(self, fields: Mapping[str, msgspec.Raw], model: str | None, *, key: str | None = None) -> Answer:
        raise Unsupported("Anthropic has no moderation", remedy="Ask another provider.")


def endpoint() -> type[AnthropicEndpoint]:
    """The class, its SDK loaded, which takes a while."""
    import anthropic  # noqa: F401

    return AnthropicEndpoint
