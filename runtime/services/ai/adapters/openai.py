"""OpenAI, and servers that speak as it does: what the `openai` package knows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runtime.services.ai.adapters.endpoint import SdkEndpoint

if TYPE_CHECKING:
    import httpx2

    from runtime.services.ai.spec import CompatibleProvider, OpenAiProvider

ADDRESS: Final = "https://api.openai.com/v1"
NO_KEY: Final = "none"
"""Stands in for the key of a server that asks for none: the SDK insists on one."""


class OpenAiEndpoint(SdkEndpoint):
    """Where OpenAI is and how to sign in, as its SDK has it.

    Args:
        name: the provider's in the spec.
        spec: its section.
    """

    models_path = "/models"

    def __init__(self, name: str, spec: OpenAiProvider | CompatibleProvider) -> None:
        from openai import AsyncOpenAI

        key = spec.api_key.get_secret_value() if spec.api_key is not None else NO_KEY
        # Retries belong to the gateway, which knows the deadline, the budget and the other models.
        self._client = AsyncOpenAI(api_key=key, base_url=spec.base_url or ADDRESS, max_retries=0)
        # The SDK would take these from the environment's variables, behind the spec's back.
        self._client.organization = getattr(spec, "organization", None)
        self._client.project = getattr(spec, "project", None)
        headers = {k: v for k, v in self._client.default_headers.items() if isinstance(v, str)}
        signed = self._client.auth_headers if spec.api_key is not None else {}
        super().__init__(name, str(self._client.base_url), headers | signed)

    def _error(self, response: httpx2.Response) -> Exception:
        return self._client._make_status_error_from_response(response)  # noqa: SLF001 - the SDK's only way to its errors

    async def close(self) -> None:
        await self._client.close()


def endpoint() -> type[OpenAiEndpoint]:
    """The class, its SDK loaded, which takes a while."""
    import openai  # noqa: F401

    return OpenAiEndpoint
