"""Push messages to browsers as a channel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import NotFound
from runtime.services.notifications.channels.port import Kind, PushContent, Receipt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from runtime.services.notifications.channels.port import Callback, Message, Report
    from runtime.services.notifications.ports import PushSubscription

    class Pusher(Protocol):
        """Hands a message to the push service of a subscription."""

        async def push(self, subscription: PushSubscription, payload: bytes, message: Message) -> Receipt: ...


LARGEST_BODY: Final = 4096
"""Bytes of an encrypted message that every push service takes (RFC 8030, section 7.2)."""
OVERHEAD: Final = 103
"""Of those, what encryption takes: 86 bytes of header, 16 of its tag, 1 that ends the padding (RFC 8291, section 4)."""
LARGEST: Final = LARGEST_BODY - OVERHEAD


class PushChannel:
    """Pushes through whatever service a browser has chosen; implements `Channel`.

    Args:
        pusher: encrypts and sends.
    """

    kind: Kind = "push"

    def __init__(self, pusher: Pusher) -> None:
        self._pusher = pusher

    async def send(self, message: Message) -> Receipt:
        content = message.content
        assert isinstance(content, PushContent)  # noqa: S101 - the service renders by kind
        if message.device is None:
            return Receipt("gone", reason="the subscription is no more")
        payload = payload_of(message, content)
        if payload is None:
            return Receipt("unfit", reason=f"it has more than {LARGEST} bytes, even without its text")
        return await self._pusher.push(message.device, payload, message)

    def reports(self, callback: Callback) -> Sequence[Report]:
        raise NotFound("push services report nothing", remedy="What they say of a message is in its receipt.")


def payload_of(message: Message, content: PushContent) -> bytes | None:
    """The JSON that a service worker is handed; its text is shortened where all is too long for a push service.

    Returns:
        None where it is too long without any text.
    """
    fields: dict[str, Any] = {
        **content.more, "id": message.id, "category": message.category, "title": content.title, "link": content.link,
    }  # fmt: skip
    whole = _json({**fields, "body": content.body})
    if len(whole) <= LARGEST:
        return whole
    if len(_json({**fields, "body": "…"})) > LARGEST:
        return None
    fits, too_long = 0, len(content.body)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        shorter = len(_json({**fields, "body": content.body[:middle] + "…"})) <= LARGEST
        fits, too_long = (middle, too_long) if shorter else (fits, middle)
    return _json({**fields, "body": content.body[:fits] + "…"})


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
