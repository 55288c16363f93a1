"""Text messages over HTTP: one client for all providers, which differ in what they are asked and what they answer."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from pydantic import SecretStr

from runtime.health import Health
from runtime.services.notifications.channels.port import Receipt
from runtime.services.notifications.channels.sms import Answer
from runtime.services.notifications.channels.spec import SmsProviderChannel
from runtime.services.retry_after import retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import aiohttp

    from runtime.services.notifications.channels.port import Callback, Report
    from runtime.services.notifications.channels.sms import Provider, Request, Text

S = TypeVar("S", bound=SmsProviderChannel)

CONNECTIONS: Final = 20
LARGEST_ANSWER: Final = 64 * 1024
"""Bytes that are read of an answer."""
MOST_SAID: Final = 300
REFUSING: Final = frozenset({401, 402, 403, 404, 405, 407})
"""Statuses that say that it is us, or the address that we have of the provider."""
LONGEST_WAIT: Final = 3600.0
"""Seconds that a provider may make us wait; a longer wish is tried earlier."""


class SmsGateway(Generic[S]):
    """Sends through a provider; implements `Carrier` and is the channel's component.

    Args:
        spec: the channel's section.
        provider: makes what speaks as the provider does, again whenever its secrets have changed.

    Raises:
        Fault: the section cannot be used as it is.
    """

    def __init__(self, spec: S, provider: Callable[[S], Provider]) -> None:
        self._spec = spec
        self._make = provider
        self._provider = provider(spec)
        self._client: aiohttp.ClientSession | None = None
        self._resumes = 0.0
        self._came: Counter[str] = Counter()
        self._trouble = ""

    async def start(self) -> None:
        """Nothing connects before there is something to send."""

    async def stop(self) -> None:
        """Closes the connections that are open."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def update(self, fields: Mapping[str, Any]) -> None:
        """Takes other secrets from the next message on."""
        spec = self._spec.model_copy(update={name: _secret(value) for name, value in fields.items()})
        self._provider = self._make(spec)
        self._spec = spec

    async def health(self) -> Health:
        details: dict[str, Any] = {"came": dict(self._came)}
        if (wait := self._resumes - time.monotonic()) > 0:
            details["waits"] = f"{wait:.0f}s, as the provider has asked"
        if self._trouble:
            return Health("degraded", f"the provider does not work: {self._trouble}", details)
        return Health(details=details)

    def reports(self, callback: Callback) -> Sequence[Report]:
        return self._provider.reports(callback)

    async def send(self, text: Text) -> Receipt:
        wait = self._resumes - time.monotonic()
        if wait > 0:
            return Receipt("later", reason="the provider has asked to wait", after=wait)
        receipt = await self._ask(self._provider.request(text))
        if receipt.after is not None:
            self._resumes = time.monotonic() + min(receipt.after, LONGEST_WAIT)
        self._came[receipt.outcome] += 1
        self._trouble = receipt.reason if receipt.down else ""
        return receipt

    async def _ask(self, request: Request) -> Receipt:
        import aiohttp

        try:
            async with self._open().request(
                request.method, request.url, data=request.body or None, headers=request.headers, allow_redirects=False
            ) as answer:
                content = bytearray()
                while len(content) < LARGEST_ANSWER and (more := await answer.content.readany()):
                    content += more
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return self._provider.receipt(Answer(answer.status, headers, _json(content)))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            said = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
            return Receipt("later", reason=f"the provider does not answer ({said})", down=True)

    def _open(self) -> aiohttp.ClientSession:
        """The client; nothing is loaded before there is something to send."""
        import aiohttp

        if self._client is None:
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=self._spec.timeout),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._client


def by_status(answer: Answer, reason: str, id_: str | None = None) -> Receipt:
    """What an answer means whose status is all that is known.

    Args:
        reason: in the provider's words.
        id_: what it calls the message, where it has taken it.
    """
    status, wait = answer.status, retry_after(answer.headers)
    said = one_line(f"{status} {reason}")
    if 200 <= status < 300:
        return Receipt("sent", id=id_)
    if status == 429:
        return Receipt("later", reason=said, after=wait)
    if status == 408 or status >= 500:
        return Receipt("later", reason=said, after=wait, down=True)
    if status in REFUSING or 300 <= status < 400:
        return Receipt("refused", reason=said, down=True)
    return Receipt("unfit", reason=said)


def one_line(text: str) -> str:
    """What a provider says, fit for a receipt."""
    return "".join(each if each.isprintable() else "?" for each in " ".join(text.split()))[:MOST_SAID]


def field(value: Any, *path: str | int) -> Any:
    """A place in a JSON value; None where there is no such place.

    Example:
        >>> field({"messages": [{"id": "a"}]}, "messages", 0, "id"), field([], "id")
        ('a', None)
    """
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def text_at(value: Any, *path: str | int) -> str:
    """The text or the number at a place in a JSON value; empty where there is neither."""
    found = field(value, *path)
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""


def _json(content: bytes | bytearray) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _secret(value: Any) -> Any:
    if isinstance(value, str):
        return SecretStr(value)
    return {name: SecretStr(each) for name, each in value.items()} if isinstance(value, dict) else value
