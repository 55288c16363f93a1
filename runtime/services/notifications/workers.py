"""What the notification queues run: the built-in tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast

import msgspec

from runtime.services.jobs.ports import JobContext
from runtime.services.notifications.ledger import Ledger
from runtime.services.notifications.letters import Letter, Mailer
from runtime.services.notifications.parting import admitted, pass_on

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.services.notifications.service import NotificationService
    from runtime.storage.ports import Cache

MOST_RECIPIENTS: Final = 50
LONGEST_SMS: Final = 2000

Address = Annotated[str, msgspec.Meta(min_length=3, max_length=320)]
Number = Annotated[str, msgspec.Meta(min_length=3, max_length=40)]
Ids = Annotated[list[Annotated[str, msgspec.Meta(max_length=40)]], msgspec.Meta(max_length=100)]


class Deliveries(msgspec.Struct, forbid_unknown_fields=True):
    """The payload of a job that delivers what a notification has planned.

    Args:
        deliveries: their ids.
    """

    deliveries: Ids


class Email(msgspec.Struct, forbid_unknown_fields=True):
    """The payload of `notifications.email`.

    Args:
        to: whom it goes to; each gets a message of their own.
        subject: one line.
        text: for readers without HTML.
        html: for the others.
        deliveries: instead of all that: what a notification has planned.
    """

    to: Annotated[list[Address], msgspec.Meta(min_length=1, max_length=MOST_RECIPIENTS)] | None = None
    subject: Annotated[str, msgspec.Meta(max_length=998)] | None = None
    text: str | None = None
    html: str | None = None
    deliveries: Ids = []

    def __post_init__(self) -> None:
        if self.deliveries:
            if self.to or self.subject is not None or self.text is not None or self.html is not None:
                raise ValueError("`deliveries` stand alone")
            return
        for name in ("to", "subject", "text"):
            if getattr(self, name) is None:
                raise ValueError(f"Object missing required field `{name}`")


class Sms(msgspec.Struct, forbid_unknown_fields=True):
    """The payload of `notifications.sms`.

    Args:
        to: numbers; each gets a message of its own.
        body: what it says.
        deliveries: instead of all that: what a notification has planned.
    """

    to: Annotated[list[Number], msgspec.Meta(min_length=1, max_length=MOST_RECIPIENTS)] | None = None
    body: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_SMS)] | None = None
    deliveries: Ids = []

    def __post_init__(self) -> None:
        if self.deliveries:
            if self.to or self.body is not None:
                raise ValueError("`deliveries` stand alone")
            return
        for name in ("to", "body"):
            if getattr(self, name) is None:
                raise ValueError(f"Object missing required field `{name}`")


class InApp(msgspec.Struct, forbid_unknown_fields=True):
    """The payload of `notifications.in_app`: an item for an inbox, or work on a notification.

    Args:
        user: whose inbox.
        title: one line.
        description: more of it.
        link: where it leads.
        work: `expand` an audience, tell those `again` who have not read it, send a `digest`, or `forget`
            a recipient whose account is removed.
    """

    user: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    category: str | None = None
    title: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    description: Annotated[str, msgspec.Meta(max_length=2048)] = ""
    link: Annotated[str, msgspec.Meta(max_length=2000)] | None = None
    work: Literal["expand", "again", "digest", "forget"] | None = None
    notification: str = ""
    step: str = ""
    digest: str = ""
    recipient: str = ""

    def __post_init__(self) -> None:
        if self.work is None:
            for name in ("user", "category", "title"):
                if not getattr(self, name):
                    raise ValueError(f"Object missing required field `{name}`")


def email_task(mailer: Mailer, notes: Cache) -> Callable[..., Any]:
    """The task `notifications.email`.

    Args:
        mailer: the channel.
        notes: remembers who has got what; see `Ledger`.
    """
    ledger = Ledger(notes, "mail")

    async def email(job: JobContext, payload: Email) -> Any:
        if payload.deliveries:
            return await _planned(job, payload.deliveries)

        async def send(id_: str, to: str) -> None:
            await mailer.send(Letter(id_, to, payload.subject or "", payload.text or "", payload.html))

        def rest(to: Sequence[str]) -> dict[str, Any]:
            html = {"html": payload.html} if payload.html is not None else {}
            return {"to": list(to), "subject": payload.subject, "text": payload.text, **html}

        return await ledger.send_to_each(job, payload.to or (), send, rest)

    return email


def sms_task(notes: Cache) -> Callable[..., Any]:
    """The task `notifications.sms`.

    Args:
        notes: remembers who has got what; see `Ledger`.
    """
    ledger = Ledger(notes, "sms")

    async def sms(job: JobContext, payload: Sms) -> Any:
        service = _service(job)
        if payload.deliveries:
            return await _planned(job, payload.deliveries)

        async def send(id_: str, to: str) -> None:
            await service.texting.send(id_, to, payload.body or "")

        numbers = [service.texting.number(to) for to in payload.to or ()]
        return await ledger.send_to_each(job, numbers, send, lambda to: {"to": list(to), "body": payload.body})

    return sms


async def deliver(job: JobContext, payload: Deliveries) -> Any:
    """The task of a queue that delivers nothing but what notifications have planned."""
    return await _planned(job, payload.deliveries)


async def in_app(job: JobContext, payload: InApp) -> Any:
    """The task `notifications.in_app`."""
    sending = _service(job).sending
    match payload.work:
        case "expand":
            return await sending.expand(job, payload.notification)
        case "again":
            return await sending.again(job, payload.notification, payload.step)
        case "digest":
            return await sending.digest(payload.digest, payload.recipient)
        case "forget":
            return await sending.forget(payload.recipient)
    assert payload.user is not None  # noqa: S101 - the payload has checked it
    assert payload.category is not None  # noqa: S101
    assert payload.title is not None  # noqa: S101
    return {
        "id": await sending.put(
            job.id, payload.user, payload.category, payload.title, payload.description, payload.link
        )
    }


async def _planned(job: JobContext, ids: Sequence[str]) -> dict[str, int]:
    """Delivers what a notification has planned, as far as the rate of the queue allows; for what is left there is
    another job then."""
    now = await admitted(job, len(ids))
    if rest := ids[now:]:
        await pass_on(job, {"deliveries": rest})
    came = await _service(job).courier.deliver(job.id, ids[:now])
    return {**came, "apart": len(rest)} if rest else came


def _service(job: JobContext) -> NotificationService:
    return cast("NotificationService", job.notifications)
