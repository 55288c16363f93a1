"""Mistral: what the `mistralai` package knows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from runtime.services.ai.adapters.endpoint import SdkEndpoint
from runtime.services.ai.failures import Failure
from runtime.services.ai.moderations import MODERATIONS
from runtime.services.ai.pieces import Answer
from runtime.services.ai.provider import RemoteProvider, bodies

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx2

    from runtime.services.ai.spec import MistralProvider


class MistralEndpoint(SdkEndpoint):
    """Where Mistral is and how to sign in, as its SDK has it.

    Args:
        name: the provider's in the spec.
        spec: its section.
    """

    def __init__(self, name: str, spec: MistralProvider) -> None:
        from mistralai.client import Mistral
        from mistralai.client.utils import get_security

        self._client = Mistral(api_key=spec.api_key.get_secret_value(), server_url=spec.base_url)
        settings = self._client.sdk_configuration
        signed, _ = get_security(settings.security)
        about = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": settings.user_agent}
        super().__init__(name, settings.get_server_details()[0], {**about, **signed})

    def _error(self, response: httpx2.Response) -> Exception:
        from mistralai.client.errors import SDKError

        return SDKError("the provider refused", response, response.text)

    async def close(self) -> None:
        if (client := self._client.sdk_configuration.async_client) is not None:
            await client.aclose()


class MistralRemote(RemoteProvider):
    """Mistral over HTTP: its moderation says by category what OpenAI also sums up."""

    embeddings_path = "/v1/embeddings"
    moderations_path = "/v1/moderations"

    async def moderate(self, fields: Mapping[str, msgspec.Raw], model: str | None, *, key: str | None = None) -> Answer:
        body = msgspec.json.encode({"model": model or MODERATIONS["mistral"], "input": fields["input"]})
        reply = await self._post(self.moderations_path, body, key)
        data = bodies(reply.body)
        if not isinstance(data, dict) or not isinstance(data.get("results"), list):
            raise Failure("malformed", "an answer that is no moderation")
        for result in data["results"]:
            result["flagged"] = any(result.get("categories", {}).values())
        return Answer(msgspec.json.encode(data))

    async def embed(self, fields: Mapping[str, msgspec.Raw], model: str, *, key: str | None = None) -> Answer:
        named = {"dimensions": "output_dimension"}
        known = ("input", "encoding_format", "dimensions", "output_dtype", "metadata")
        asked = {named.get(name, name): fields[name] for name in known if name in fields}
        return await super().embed(asked, model, key=key)


def endpoint() -> type[MistralEndpoint]:
    """The class, its SDK loaded, which takes a while."""
    import mistralai.client.utils  # noqa: F401

    return MistralEndpoint
