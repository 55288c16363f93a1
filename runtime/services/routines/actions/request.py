"""`http`: a request to another server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Protocol

from runtime.services.routines.step import StepFailed
from runtime.services.routines.templates import templated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.services.routines.spec import HttpStep
    from runtime.services.routines.step import Scope
    from runtime.services.routines.templates import Compile


LIMIT: Final = 60.0
"""Seconds for a request whose step names no `timeout`."""


class Requests(Protocol):
    """Sends HTTP requests."""

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        timeout: float | None,
        private: bool,
    ) -> tuple[int, str, bytes]:
        """Sends one and follows no redirect.

        Args:
            timeout: seconds for all of it; None where the caller keeps the limit.
            private: whether it may go to an address of the own network.

        Returns:
            The status, the media type and the body.

        Raises:
            StepFailed: there is no answer, or it is too long.
        """
        ...


class Call:
    """Sends a request and takes the body of its answer."""

    def __init__(self, spec: HttpStep, compiled: Compile, requests: Requests) -> None:
        self._requests = requests
        self._method = spec.method
        self._url = compiled(spec.url)
        self._headers = {name: value.get_secret_value() for name, value in spec.headers.items()}
        self._json = templated(spec.json_, compiled) if spec.json_ is not None else None
        self._private = spec.private_addresses
        self._timeout = LIMIT if spec.timeout is None else None

    async def __call__(self, scope: Scope) -> Any:
        body, headers = None, dict(self._headers)
        if self._method != "GET":
            headers.setdefault("Idempotency-Key", scope.operation)
        if self._json is not None:
            body = json.dumps(self._json(scope.variables), ensure_ascii=False).encode()
            headers.setdefault("Content-Type", "application/json")
        url = self._url(scope.variables)
        if not isinstance(url, str):
            raise StepFailed("`url` gives no text")
        status, kind, content = await self._requests.send(
            self._method, url, headers, body, timeout=self._timeout, private=self._private
        )
        if not 200 <= status < 300:
            raise StepFailed(f"it was answered with {status}", passing=status in (408, 425, 429) or status >= 500)
        if kind == "application/json" or kind.endswith("+json"):
            try:
                return json.loads(content)
            except ValueError as error:
                raise StepFailed(f"the answer says that it is JSON, and is none: {error}") from error
        return content.decode("utf-8", "replace")
