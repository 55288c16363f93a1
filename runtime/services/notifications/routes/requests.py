"""What callers of the notification routes send and are answered."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from runtime.errors import Invalid, Pointer
from runtime.services.names import seconds
from runtime.services.notifications.ports import Audience, Notice

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
Ids = Annotated[list[Id], msgspec.Meta(max_length=20_000)]
Email = Annotated[str, msgspec.Meta(min_length=3, max_length=320)]
Phone = Annotated[str, msgspec.Meta(min_length=3, max_length=40)]
Topic = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Link = Annotated[str, msgspec.Meta(max_length=2000)]


class To(msgspec.Struct, forbid_unknown_fields=True, rename={"but": "except"}):
    """Who is told: all that is named together, each once.

    Args:
        users: by id.
        emails: people without an account.
        phones: people without an account, in international form.
        topic: its subscribers.
        all: every user.
        but: `except`: users who are left out.
    """

    users: Ids = []
    emails: Annotated[list[Email], msgspec.Meta(max_length=20_000)] = []
    phones: Annotated[list[Phone], msgspec.Meta(max_length=20_000)] = []
    topic: Topic | None = None
    all: bool = False
    but: Ids = []

    def audience(self) -> Audience:
        return Audience(self.users, self.emails, self.topic, self.all, self.but, self.phones)


class NotificationRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A notification.

    Args:
        category: its name in the spec.
        data: what the templates show.
        key: names it: sent again, it is told once.
        at: when; now by default.
        delays: when those are told again who have not read it, such as `["1d", "3d"]`.
        urgency: how much it may disturb; `high` passes quiet hours.
        link: where it leads.
    """

    category: Annotated[str, msgspec.Meta(max_length=63)]
    to: To
    data: dict[str, Any] = {}
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    at: datetime | None = None
    delays: Annotated[list[str], msgspec.Meta(max_length=10)] | None = None
    urgency: Literal["low", "normal", "high"] | None = None
    mode: Literal["default", "forced", "prefer_socket"] | None = None
    link: Link | None = None

    def notice(self) -> Notice:
        delays = None if self.delays is None else [_seconds(each, place) for place, each in enumerate(self.delays)]
        return Notice(self.category, self.data, self.key, self.at, delays, self.urgency, self.mode, self.link)


class NotificationTaken(msgspec.Struct):
    """A notification that was taken.

    Args:
        deliveries: how many receipts there are; null where a large audience is worked off, or its time has not come.
        known: it had been told before, under the same key.
    """

    id: str
    deliveries: int | None
    known: bool


class PreviewRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What shall be shown."""

    category: Annotated[str, msgspec.Meta(max_length=63)]
    kind: Literal["email", "push", "sms", "in_app"] = "email"
    data: dict[str, Any] = {}
    language: Annotated[str, msgspec.Meta(max_length=35)] | None = None
    link: Link | None = None


def _seconds(duration: str, place: int) -> float:
    found = seconds(duration)
    if found is None:
        raise Invalid("this is no duration", errors=[Pointer(f"/delays/{place}", 'such as "30m" or "1d"')])
    return found
