"""What the safety checks ask of the providers; implements the port `Models`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtime.services.ai.failures import Failure
from runtime.services.ai.moderations import MODERATIONS
from runtime.services.ai.request import ChatRequest
from runtime.services.ai.usage import NOTHING, Usage
from runtime.services.names import unknown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from runtime.services.ai.client import ProviderClient
    from runtime.services.ai.pieces import Answer


class ProviderModels:
    """Asks providers past chains, accounting and checks.

    Args:
        clients: the providers by name.
    """

    def __init__(self, clients: Mapping[str, ProviderClient]) -> None:
        self._clients = clients

    async def complete(self, provider: str, model: str, messages: Sequence[Mapping[str, str]]) -> tuple[str, Usage]:
        client = self._client(provider)
        body = {"model": model, "messages": list(messages), "temperature": 0}
        if client.spec.kind == "openai" and model.startswith(_THINKING):
            del body["temperature"]
        request = ChatRequest(msgspec.json.encode(body))
        answer = await self._asked(provider, client.models.chat(request, model))
        said = msgspec.json.decode(answer.body)["choices"][0]["message"].get("content")
        return said if isinstance(said, str) else "", answer.usage or NOTHING

    async def moderate(
        self, provider: str, model: str | None, texts: Sequence[str]
    ) -> tuple[list[Mapping[str, Any]], str, Usage]:
        client = self._client(provider)
        named = model or MODERATIONS.get(client.spec.kind, "")
        fields = {"input": msgspec.Raw(msgspec.json.encode(list(texts)))}
        answer = await self._asked(provider, client.models.moderate(fields, named))
        results = msgspec.json.decode(answer.body).get("results")
        if not isinstance(results, list) or len(results) != len(texts):
            raise Failure("malformed", f"{provider}: its moderation does not judge every text")
        return results, named, answer.usage or NOTHING

    def _client(self, provider: str) -> ProviderClient:
        if (client := self._clients.get(provider)) is None:
            raise unknown("provider", provider, self._clients)
        return client

    async def _asked(self, provider: str, asking: Awaitable[Answer]) -> Answer:
        limit = self._clients[provider].spec.timeout
        try:
            async with asyncio.timeout(limit):
                return await asking
        except TimeoutError as error:
            raise Failure("timeout", f"{provider} did not answer within {limit:g} s") from error


_THINKING: Final = ("o1", "o3", "o4", "gpt-5")
"""Models of OpenAI that take no temperature but their usual one."""
