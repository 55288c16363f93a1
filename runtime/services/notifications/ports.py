"""What other services and the user's own code may use of notifications, and what notifications need of others."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from runtime.services.notifications.channels.port import Callback, Kind, Urgency
from runtime.services.notifications.settings import Settings

if TYPE_CHECKING:
    from runtime.services.notifications.devices import Asked

Mode = Literal["default", "forced", "prefer_socket"]

Status = Literal["queued", "sending", "sent", "delivered", "bounced", "complained", "read", "failed", "suppressed"]
"""Of a delivery. `sent`: the provider has it, or the inbox; `delivered`: the device, the mailbox or a socket has it."""

MOST_INLINE: Final = 100
"""Recipients whose deliveries exist when `notify` returns; those of a larger audience follow in pages."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is told: all that is named together, each once.

    Args:
        users: by id.
        emails: people without an account, by address.
        topic: those who have subscribed to it.
        everyone: all users.
        but: users who are left out, by id.
        phones: people without an account, by number in its international form.

    Example:
        >>> Audience(topic="project:7", but=("u1",))
        Audience(users=(), emails=(), topic='project:7', everyone=False, but=('u1',), phones=())
    """

    users: Sequence[str] = ()
    emails: Sequence[str] = ()
    topic: str | None = None
    everyone: bool = False
    but: Sequence[str] = ()
    phones: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """What is to be told.

    Args:
        category: its name in the spec.
        data: what the templates show; JSON values.
        key: names the notification: sent again, it is told once.
        at: when, with an offset from UTC; now by default.
        delays: seconds after which it is told again to those who have not read it; None for what the category says.
        urgency: how much it may disturb; None for what the category says.
        mode: None for what the category says.
        link: where it leads.
    """

    category: str
    data: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    at: datetime | None = None
    delays: Sequence[float] | None = None
    urgency: Urgency | None = None
    mode: Mode | None = None
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a notification for one recipient on one channel; the receipt.

    Args:
        kind: `email`, `push`, `sms` or `in_app`.
        channel: its name in the spec.
        address: where it went; empty where there was nowhere to go.
        step: empty for the first message; `escalation`, `reminder-1`, `digest-…`.
        reason: why it was suppressed or has failed, or what the provider said last.
        provider: the channel that took it in the end: another where it was a fallback.
        repeated: it may have gone out twice: a worker died between sending it and writing that down.
    """

    id: str
    notification: str
    recipient: str
    kind: Kind
    channel: str
    address: str
    step: str
    status: Status
    reason: str
    provider: str | None
    provider_id: str | None
    attempts: int
    repeated: bool
    created_at: datetime
    due_at: datetime | None
    sent_at: datetime | None
    updated_at: datetime
    items: Sequence[str] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notified:
    """A notification that was taken.

    Args:
        deliveries: how many rows there are now; None where the audience is being expanded in the background, or its
            time has not come.
        known: it had been told before, under the same key.
    """

    id: str
    deliveries: int | None
    known: bool = False


@dataclass(frozen=True, slots=True)
class InboxItem:
    """A notification in a user's inbox."""

    id: str
    notification: str
    category: str
    title: str
    text: str
    link: str | None
    created_at: datetime
    read_at: datetime | None
    archived_at: datetime | None


@dataclass(frozen=True, slots=True)
class Person:
    """A user, as notifications need to know one.

    Args:
        languages: the first one first, BCP 47.
        emails: each with whether it is verified; the first is the one that they sign in with.
        phones: likewise, E.164.
    """

    id: str
    name: str | None
    time_zone: str | None
    languages: Sequence[str]
    emails: Sequence[tuple[str, bool]]
    phones: Sequence[tuple[str, bool]] = ()


@dataclass(frozen=True, slots=True)
class PushSubscription:
    """A browser that takes push messages.

    Args:
        id: a digest of its endpoint.
        endpoint: where its push service takes messages for it; whoever knows it may try.
        p256dh: the browser's public key, base 64.
        auth: the secret that it shares with us, base 64.
        vapid_key: the id of the key that it was made with.
        device: what the user calls it.
        used_at: when a push service last took a message for it.
    """

    id: str
    user: str
    endpoint: str = field(repr=False)
    p256dh: str = field(repr=False)
    auth: str = field(repr=False)
    vapid_key: str
    device: str
    created_at: datetime
    used_at: datetime | None = None
    expires_at: datetime | None = None


class People(Protocol):
    """The users of the environment."""

    async def find(self, ids: Sequence[str]) -> Mapping[str, Person]:
        """Those of the users that there are, by id."""
        ...

    async def after(self, id_: str, most: int) -> Sequence[str]:
        """The ids of users in order, after one."""
        ...


class Notify(Protocol):
    """Tells people what happens."""

    async def notify(self, notice: Notice, to: Audience, *, by: str = "") -> Notified:
        """Takes a notification; when it returns, it is stored, and goes out by itself.

        Args:
            by: who asks for it: an account, a job.

        Raises:
            NotFound: no such category.
            Invalid: a variable of the templates is missing, or an address, a user or a time is wrong; nothing is sent.
            Conflict: the key was used for something else.
            Unreachable: the database does not answer.
        """
        ...


class Receipts(Protocol):
    """What became of notifications, and what they look like."""

    async def deliveries(self, notification: str, *, after: str = "", most: int = 50) -> list[Delivery]:
        """The receipts of a notification, by id.

        Raises:
            NotFound: there is no such notification.
        """
        ...

    async def delivery(self, id_: str) -> Delivery | None:
        """One receipt."""
        ...

    async def preview(
        self, category: str, kind: Kind, data: Mapping[str, Any], *, language: str | None, link: str | None
    ) -> Mapping[str, str | None]:
        """What a channel would show, by part of the message.

        Raises:
            NotFound: no such category, or it has no such channel.
            Invalid: a variable is missing.
        """
        ...


@dataclass(frozen=True, slots=True)
class InboxChange:
    """What was done with items of an inbox, from whichever device.

    Args:
        read: ids of those that were read.
        archived: ids of those that were put away.
        unread: how many are left that were not read.
    """

    read: Sequence[str]
    archived: Sequence[str]
    unread: int


class Inboxes(Protocol):
    """The inboxes of users."""

    async def inbox(
        self, user: str, *, before: str | None = None, most: int = 50, unread: bool = False, archived: bool = False
    ) -> list[InboxItem]:
        """A user's inbox, the newest first."""
        ...

    async def unread(self, user: str) -> int:
        """How many are not read, and not put away."""
        ...

    async def read(self, user: str, id_: str | None) -> int:
        """Marks one as read, or all of them; returns how many were not.

        Raises:
            NotFound: it is not in the user's inbox.
        """
        ...

    async def archive(self, user: str, id_: str) -> None:
        """Puts one away.

        Raises:
            NotFound: it is not in the user's inbox.
        """
        ...

    def follow(self, user: str, after: str | None) -> AsyncGenerator[InboxItem | InboxChange | str]:
        """A user's inbox as it grows: first the cursor from which it goes on, then each item, and what is done with
        items from then on.

        While it is followed, the user counts as having an open connection.
        """
        ...


class Choices(Protocol):
    """What users choose."""

    def categories(self) -> Mapping[str, Mapping[str, Any]]:
        """What a user can choose from: by category, its description, defaults and channels."""
        ...

    async def settings(self, user: str) -> Settings:
        """What a user wants to get."""
        ...

    async def change_settings(self, user: str, settings: Settings) -> Settings:
        """Stores what a user wants to get.

        Raises:
            Invalid: it names what the spec does not have, or addresses that are not the user's.
            NotFound: there is no such user.
        """
        ...

    async def unsubscribe(self, token: str) -> tuple[str, str]:
        """Ends the mails of a category, as a signed link says; again changes nothing.

        Returns:
            The category and the address.

        Raises:
            Invalid: the link is not one of ours.
        """
        ...

    async def subscribed(self, token: str) -> tuple[str, str]:
        """What a signed link is for, without doing it; raises as `unsubscribe`."""
        ...

    async def subscribe(self, topic: str, user: str) -> None:
        """Lets a user be told of a topic.

        Raises:
            NotFound: there is no such user.
        """
        ...

    async def leave(self, topic: str, user: str) -> None:
        """Ends that."""
        ...


class Devices(Protocol):
    """The browsers that users have subscribed to push messages."""

    @property
    def vapid(self) -> tuple[str, str]:
        """The id of the current key, and its public half for browsers.

        Raises:
            NotFound: the spec has no channel for push messages.
        """
        ...

    async def keys(self) -> Mapping[str, int]:
        """How many subscriptions each key has, by its id, the current one first; raises as `vapid`."""
        ...

    async def rotate(self) -> None:
        """Makes a new current key; older subscriptions go on being served by theirs, until the browsers renew them.

        Raises:
            NotFound: the spec has no channel for push messages.
            Fault: the key's file cannot be replaced.
        """
        ...

    async def subscriptions(self, user: str) -> list[PushSubscription]:
        """A user's, the oldest first."""
        ...

    async def subscribe(self, user: str, asked: Asked) -> PushSubscription:
        """Keeps a subscription, or changes the one of the same endpoint.

        Raises:
            Invalid: its endpoint or its keys cannot be used.
            NotFound: there is no such user, or no channel for push messages.
        """
        ...

    async def unsubscribe(self, user: str, id_: str) -> None:
        """Ends one.

        Raises:
            NotFound: it is not the user's.
        """
        ...


class Reports(Protocol):
    """What providers report."""

    async def called(self, channel: str, callback: Callback) -> int:
        """Takes a provider's signed reports; returns how many told something new.

        Raises:
            NotFound: no such channel, or it takes none.
            Forbidden: not signed by the provider, or too old.
            Invalid: it cannot be understood.
        """
        ...


class Notifications(Protocol):
    """Notifications, for the routes and the workers."""

    @property
    def sending(self) -> Notify: ...

    @property
    def receipts(self) -> Receipts: ...

    @property
    def inboxes(self) -> Inboxes: ...

    @property
    def choices(self) -> Choices: ...

    @property
    def devices(self) -> Devices: ...

    @property
    def reports(self) -> Reports: ...
