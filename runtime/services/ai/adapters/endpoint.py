"""What the three SDKs have in common: what an error status means, with the SDK's own error as the cause."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from runtime.services.ai.failures import Failure, of_status
from runtime.services.ai.provider import bodies
from runtime.services.retry_after import retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx2

    from runtime.services.ai.adapters.transport import Reply


class SdkEndpoint(ABC):
    """Implements `Endpoint` for a provider that is signed in to with `Authorization: Bearer`.

    Args:
        name: the provider's in the spec.
        base: its address.
        headers: of a request with the environment's key.
    """

    models_path = "/v1/models"

    def __init__(self, name: str, base: str, headers: Mapping[str, str]) -> None:
        self.name = name
        self.base = base.rstrip("/")
        self._headers = headers

    def headers(self, key: str | None) -> Mapping[str, str]:
        return self._headers if key is None else {**self._headers, "Authorization": f"Bearer {key}"}

    def failure(self, reply: Reply, *, own_key: bool) -> Failure:
        import httpx2

        failure = of_status(
            reply.status,
            bodies(reply.body),
            retry_after=retry_after(reply.headers),
            own_key=own_key,
            provider=self.name,
        )
        request = httpx2.Request("POST", self.base)
        failure.__cause__ = self._error(
            httpx2.Response(reply.status, headers=dict(reply.headers), content=reply.body, request=request)
        )
        return failure

    @abstractmethod
    def _error(self, response: httpx2.Response) -> Exception:
        """The SDK's own error for an answer."""
