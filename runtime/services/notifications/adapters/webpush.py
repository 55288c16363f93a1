"""Web push: pywebpush encrypts, aiohttp sends over connections that are kept open."""

from __future__ import annotations

import hashlib
import time
from base64 import urlsafe_b64encode
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import anyio.to_thread

from runtime.health import Health
from runtime.services.addresses import OwnNetworkError, public_socket
from runtime.services.notifications.adapters.vapid import VapidKeys
from runtime.services.notifications.channels.port import Receipt
from runtime.services.notifications.endpoints import fault_of
from runtime.services.retry_after import retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import aiohttp

    from runtime.services.notifications.adapters.vapid import VapidKey
    from runtime.services.notifications.channels.port import Message
    from runtime.services.notifications.channels.spec import WebPushChannel
    from runtime.services.notifications.ports import PushSubscription

CLAIMED: Final = 3600
"""Seconds for which a push service may take a token as ours; at most a day (RFC 8292, section 2)."""
CONNECTIONS: Final = 20
LONGEST_WAIT: Final = 3600.0
"""Seconds that a push service may make us wait; a longer wish is tried earlier."""
MOST_SAID: Final = 300
"""Bytes that are read of an answer."""
_TAKEN: Final = frozenset({200, 201, 202, 204})


class WebPush:
    """Hands messages to push services; is the channel's component.

    Args:
        spec: the channel's section.
        file: where the current key lies.
        previous: where those lie that it has replaced.
    """

    def __init__(self, spec: WebPushChannel, file: Path, previous: Sequence[Path] = ()) -> None:
        self._spec = spec
        self._files = (file, tuple(previous))
        self._client: aiohttp.ClientSession | None = None
        self._waits: dict[str, float] = {}
        self._came: Counter[str] = Counter()

    async def start(self) -> None:
        """Reads the keys; makes the current one at the first start."""
        self._keys = await anyio.to_thread.run_sync(VapidKeys, *self._files)

    async def stop(self) -> None:
        """Closes the connections that are open."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def update(self, fields: Mapping[str, Any]) -> None:
        """Nothing changes without a restart."""

    async def health(self) -> Health:
        waits = sorted(origin for origin, until in self._waits.items() if until > time.monotonic())
        return Health(details={"key": self._keys.current.id, "came": dict(self._came), "waiting for": waits[:20]})

    # What devices need to know

    @property
    def public(self) -> str:
        return self._keys.current.public

    @property
    def current(self) -> str:
        return self._keys.current.id

    @property
    def private_endpoints(self) -> bool:
        return self._spec.private_endpoints

    async def rotate(self) -> None:
        """Makes a new current key; the one before goes on signing for its subscriptions."""
        await anyio.to_thread.run_sync(self._keys.rotate)

    def id_of(self, public: str) -> str | None:
        key = self._keys.by_public(public)
        return key.id if key is not None else None

    # Sending

    async def push(self, subscription: PushSubscription, payload: bytes, message: Message) -> Receipt:
        """Encrypts a message and hands it over; raises nothing that the push service or the network can cause."""
        receipt = await self._push(subscription, payload, message)
        self._came[receipt.outcome] += 1
        return receipt

    async def _push(self, subscription: PushSubscription, payload: bytes, message: Message) -> Receipt:
        key = self._keys.find(subscription.vapid_key)
        if key is None:
            said = f"its VAPID key {subscription.vapid_key[:8]}… is not known: name its file in `vapid.previous`"
            return Receipt("refused", reason=said)
        if wrong := fault_of(subscription.endpoint, private=self._spec.private_endpoints):
            return Receipt("unfit", reason=f"its endpoint cannot be used: {wrong}")
        ttl = _ttl(self._spec.ttl, message)
        if ttl < 0:
            return Receipt("unfit", reason="it has expired")
        parts = urlsplit(subscription.endpoint)
        origin = f"{parts.scheme}://{parts.netloc}"
        wait = self._waits.get(origin, 0.0) - time.monotonic()
        if wait > 0:
            return Receipt("later", reason=f"{origin} has asked to wait", after=wait)
        try:
            body, authorization = await anyio.to_thread.run_sync(
                _sealed, subscription, payload, key, {"sub": self._spec.vapid.subject, "aud": origin}
            )
        except Exception as error:  # noqa: BLE001 - whatever the libraries make of a browser's keys
            return Receipt("unfit", reason=f"it cannot be encrypted for this device ({type(error).__name__})")
        headers = {
            "Authorization": authorization,
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(ttl),
            "Urgency": message.urgency,
            **({"Topic": _topic(message.topic)} if message.topic else {}),
        }
        return await self._post(subscription.endpoint, origin, body, headers)

    async def _post(self, endpoint: str, origin: str, body: bytes, headers: Mapping[str, str]) -> Receipt:
        import aiohttp

        try:
            async with self._open().post(endpoint, data=body, headers=headers, allow_redirects=False) as answer:
                said = " ".join((await answer.content.read(MOST_SAID)).decode("utf-8", "replace").split())
                receipt = _receipt(answer.status, answer.headers, f"{answer.status} {said}".strip(), origin)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            if isinstance(getattr(error, "os_error", error), OwnNetworkError):
                return Receipt("unfit", reason=f"{origin} is in an own network")
            return Receipt("later", reason=f"{origin} does not answer ({type(error).__name__})")
        if receipt.after is not None:
            now = time.monotonic()
            self._waits = {each: until for each, until in self._waits.items() if until > now}
            self._waits[origin] = now + receipt.after
        return receipt

    def _open(self) -> aiohttp.ClientSession:
        """The client; nothing is loaded before there is something to send."""
        import aiohttp

        if self._client is None:
            guarded = None if self._spec.private_endpoints else public_socket
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS, socket_factory=guarded),
                timeout=aiohttp.ClientTimeout(total=self._spec.timeout),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # an answer is the push service's, which a user has chosen
                trust_env=False,
            )
        return self._client


def _receipt(status: int, headers: Mapping[str, str], said: str, origin: str) -> Receipt:
    """What an answer means (RFC 8030, section 5 and 8.4)."""
    reason = f"{origin}: {''.join(each if each.isprintable() else '?' for each in said)}"
    if status in _TAKEN:
        return Receipt("sent", id=headers.get("Location", "")[:255] or None)
    if status in (404, 410):
        return Receipt("gone", reason=reason)
    if status in (401, 403):
        return Receipt("refused", reason=reason)
    if status in (429, 503):
        return Receipt("later", reason=reason, after=_after(headers))
    return Receipt("later" if status >= 500 or status == 408 else "unfit", reason=reason)


def _after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a `Retry-After`, an hour at most."""
    wait = retry_after(headers)
    return min(wait, LONGEST_WAIT) if wait is not None else None


def _ttl(longest: float, message: Message) -> int:
    if message.expires_at is None:
        return int(longest)
    return int(min(longest, (message.expires_at - datetime.now(UTC)).total_seconds()))


def _topic(topic: str) -> str:
    """At most 32 characters of base 64 (RFC 8030, section 5.4), which tell a push service nothing."""
    return urlsafe_b64encode(hashlib.sha256(topic.encode()).digest()[:24]).decode()


def _sealed(
    subscription: PushSubscription, payload: bytes, key: VapidKey, claims: Mapping[str, str]
) -> tuple[bytes, str]:
    """The encrypted message and its token. The claims are fresh each time: a token is good for one origin only."""
    from py_vapid import Vapid02
    from pywebpush import WebPusher

    keys = {"p256dh": subscription.p256dh, "auth": subscription.auth}
    body: bytes = WebPusher({"endpoint": subscription.endpoint, "keys": keys}).encode(payload)["body"]
    signed = Vapid02(key.private, {"no-strict": True}).sign({**claims, "exp": int(time.time()) + CLAIMED})
    return body, str(signed["Authorization"])
