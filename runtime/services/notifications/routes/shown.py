"""What the routes of notifications have in common."""

from datetime import datetime
from typing import Any, TypeVar

import msgspec

from runtime.errors import Forbidden, NotFound
from runtime.http.access import ADMIN, Caller
from runtime.services.notifications.ports import Delivery, InboxItem

T = TypeVar("T")

SEND = "notifications:send"
READ = "account:read"
WRITE = "account:write"


class ItemShown(msgspec.Struct):
    """A notification in an inbox."""

    id: str
    notification: str
    category: str
    title: str
    text: str
    link: str | None
    created_at: datetime
    read_at: datetime | None
    archived_at: datetime | None

    @classmethod
    def of(cls, item: InboxItem) -> "ItemShown":
        return cls(
            item.id,
            item.notification,
            item.category,
            item.title,
            item.text,
            item.link,
            item.created_at,
            item.read_at,
            item.archived_at,
        )


class DeliveryShown(msgspec.Struct):
    """The receipt of one recipient on one channel.

    Args:
        kind: `email`, `push`, `sms` or `in_app`.
        step: empty for the first message; `escalation`, `reminder-1`, `digest-…`.
        reason: why it was suppressed or has failed.
        provider: the channel that took it, which may be a fallback.
        repeated: it may have gone out twice.
        items: the notifications that a digest gathers.
    """

    id: str
    notification: str
    recipient: str
    kind: str
    channel: str
    address: str
    step: str
    status: str
    reason: str
    provider: str | None
    provider_id: str | None
    attempts: int
    repeated: bool
    created_at: datetime
    due_at: datetime | None
    sent_at: datetime | None
    updated_at: datetime
    items: list[str]
    details: dict[str, Any]

    @classmethod
    def of(cls, each: Delivery) -> "DeliveryShown":
        return cls(
            each.id,
            each.notification,
            each.recipient,
            each.kind,
            each.channel,
            each.address,
            each.step,
            each.status,
            each.reason,
            each.provider,
            each.provider_id,
            each.attempts,
            each.repeated,
            each.created_at,
            each.due_at,
            each.sent_at,
            each.updated_at,
            list(each.items),
            dict(each.details),
        )


def declared(part: T | None) -> T:
    """The service, where the spec has it."""
    if part is None:
        raise NotFound("the spec declares no notifications", remedy="Add `notifications` with channels and categories.")
    return part


def user_of(caller: Caller, named: str | None = None) -> str:
    """The id of the user that a request is about: the caller's own account, or one that an operator names."""
    if named is not None and f"user:{named}" != caller.account:
        if not caller.may(ADMIN):
            raise Forbidden("this needs the scope runtime:admin: it is another's account")
        return named
    kind, _, id_ = caller.account.partition(":")
    if kind != "user":
        raise NotFound("this key belongs to no account", remedy="Sign in, or name a `user` as an operator.")
    return id_
