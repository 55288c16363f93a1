"""The port of a channel: one rendered message to one address, and the receipt for it.

A channel never retries, never chooses a recipient and never keeps a preference: it says what became of one message,
and the service does the rest.

    sent     the provider has it                    the delivery is `sent`, until a report says more
    later    not now                                tried again, after `after` seconds where it says so
    bounced  this address never takes it            counted; after `suppression.bounces` of them it gets nothing more
    gone     this device or subscription is no more it is deleted
    stopped  the recipient wants none of them       it gets nothing more until it says otherwise
    refused  the provider refuses *us*              the next provider of the chain is tried, and health says so
    unfit    this message cannot be sent as it is   it fails; the address is as good as before
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from runtime.services.notifications.ports import PushSubscription

Urgency = Literal["low", "normal", "high"]

Kind = Literal["email", "push", "sms", "in_app"]
"""What a channel is to a user, whichever provider is behind it."""

KINDS: Final[Mapping[str, Kind]] = {"smtp": "email", "webpush": "push", "http": "sms", "in_app": "in_app"}
"""By `kind` of the channel in the spec."""

Outcome = Literal["sent", "later", "bounced", "gone", "stopped", "refused", "unfit"]


@dataclass(frozen=True, slots=True)
class MailContent:
    """What stands in a mail.

    Args:
        subject: one line.
        text: for readers without HTML.
        html: for the others.
    """

    subject: str
    text: str
    html: str | None = None


@dataclass(frozen=True, slots=True)
class PushContent:
    """What a device shows.

    Args:
        link: what a click opens.
        more: further fields of the template's `push.json`, such as `icon`.
    """

    title: str
    body: str
    link: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SmsContent:
    """A text message."""

    body: str


Content = MailContent | PushContent | SmsContent


@dataclass(frozen=True, slots=True)
class Message:
    """One rendered message to one address.

    Args:
        id: of its delivery; the same at every try, so that a receiver can tell a copy.
        to: an e-mail address, a number (E.164), or the id of a push subscription.
        category: its name in the spec.
        topic: messages of one topic may replace one another on a device (RFC 8030, section 5.4).
        unsubscribe: where a POST ends messages of this category (RFC 8058); None where nothing can.
        expires_at: after it nobody wants the message any more.
        device: the push subscription of that id; None where it is no more, and for other kinds.
    """

    id: str
    to: str
    category: str
    content: Content
    urgency: Urgency = "normal"
    topic: str | None = None
    unsubscribe: str | None = None
    expires_at: datetime | None = None
    device: PushSubscription | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one message.

    Args:
        id: what the provider calls it; its reports name it.
        reason: what the provider said, in one line, without a secret.
        after: seconds that a provider asked to wait.
        down: it is the provider that does not work, not the message: the breaker counts it, and the next of the chain
            is tried.
        details: what else is worth keeping: `{"segments": 2}`.
        asked: whether a provider was: not where all that could be are left alone for a while.
    """

    outcome: Outcome
    id: str | None = None
    reason: str = ""
    after: float | None = None
    down: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
    asked: bool = True


Event = Literal["delivered", "bounced", "complained", "failed", "stopped", "started"]
"""What a provider reports later. `stopped`: the recipient answered STOP, and gets nothing more; `started`: wants it
again."""


@dataclass(frozen=True, slots=True)
class Callback:
    """A provider's request, as it came.

    Args:
        url: the address that was called, with its query: some providers sign it.
        headers: names in lower case.
        body: to the byte.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Report:
    """What a provider says of a message that it took, or of an address.

    Args:
        event: what happened.
        id: the provider's name of the message (`Receipt.id`); None where it tells of an address alone.
        delivery: our own name of the message (`Message.id`), where the provider repeats it: known before `id` is.
        address: whom it is about; needed without an `id` or a `delivery`.
        reason: in its words.
        unique: names the report, so that one that is sent again counts once; None where the provider has no such name.
    """

    event: Event
    id: str | None = None
    address: str | None = None
    reason: str = ""
    unique: str | None = None
    delivery: str | None = None


class Channel(Protocol):
    """Sends messages of one kind through one provider."""

    kind: Kind

    async def send(self, message: Message) -> Receipt:
        """Hands a message to the provider; raises nothing that the provider or the network can cause."""
        ...

    def reports(self, callback: Callback) -> Sequence[Report]:
        """Reads a provider's signed callback.

        Raises:
            Forbidden: it is not signed by the provider, or too old.
            Invalid: it cannot be understood.
            NotFound: this channel takes no callbacks.
        """
        ...
