"""What the notification queues run: the built-in tasks."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast

import msgspec

from runtime.errors import Fault
from runtime.services.jobs.ports import JobContext, Reject
from runtime.services.notifications.letters import Letter, Mailer, Undeliverable, Undelivered

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.services.notifications.service import NotificationService
    from runtime.storage.ports import Cache

logger = logging.getLogger("runtime.notifications")

LEDGER_TTL: Final = 14 * 86_400.0
"""Seconds for which it is remembered who has got a mail: longer than a failed job is kept for a replay."""
MOST_RECIPIENTS: Final = 50

Address = Annotated[str, msgspec.Meta(min_length=3, max_length=320)]
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


@dataclass(slots=True)
class Sending:
    """What the tries of one job have come to so far.

    Args:
        refused: recipients that never get it, with what the mail server said.
        failed: recipients that may get it at the next try, with what it said.
    """

    sent: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def email_task(mailer: Mailer, ledger: Cache) -> Callable[..., Any]:
    """The task `notifications.email`.

    Every recipient gets a message of its own. Who has got it is kept in the ledger, so that a further try of the job
    goes only to those who have not. A recipient gets a second copy only where the process dies, or the ledger cannot be
    reached for a minute, in the moment between the mail server's acceptance and the note of it. The copy has the same
    Message-ID.

    Args:
        mailer: the channel.
        ledger: remembers who has got what.
    """
    sender = EmailTask(mailer, ledger)

    async def email(job: JobContext, payload: Email) -> Any:
        if payload.deliveries:
            return await _service(job).courier.deliver(job.id, payload.deliveries)
        return await sender.send(job, payload)

    return email


async def deliver(job: JobContext, payload: Deliveries) -> Any:
    """The task of a queue that delivers nothing but what notifications have planned."""
    return await _service(job).courier.deliver(job.id, payload.deliveries)


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


def _service(job: JobContext) -> NotificationService:
    return cast("NotificationService", job.notifications)


class EmailTask:
    """Sends what jobs ask for; see `email_task`.

    Args:
        mailer: the channel.
        ledger: remembers who has got what.
    """

    def __init__(self, mailer: Mailer, ledger: Cache) -> None:
        self._mailer = mailer
        self._ledger = ledger

    async def send(self, job: JobContext, payload: Email) -> dict[str, Any]:
        """Sends to everybody who has not got it.

        Raises:
            Reject: none of those who are left will ever get it.
            Undelivered: some may get it at the next try.
        """
        sending = Sending()
        recipients = list(dict.fromkeys(payload.to or ()))
        for number, to in enumerate(recipients, 1):
            await self._send_one(job, payload, to, sending)
            await job.progress(number / len(recipients))
        if sending.failed:
            raise Undelivered(_sentence("not delivered yet", sending.failed))
        if sending.refused:
            raise Reject(_sentence("refused for good", sending.refused))
        return {"sent": sending.sent}

    async def _send_one(self, job: JobContext, payload: Email, to: str, sending: Sending) -> None:
        digest = hashlib.sha256(f"{job.id}\0{to}".encode()).hexdigest()[:32]
        key = f"mail:{digest}"
        known = await self._ledger.get(key)
        if known is not None:
            if known == b"sent":
                sending.sent += 1
            else:
                sending.refused[to] = known.decode().removeprefix("refused ")
            return
        letter = Letter(digest, to, payload.subject or "", payload.text or "", payload.html)
        try:
            await self._mailer.send(letter)
        except Undelivered as error:
            sending.failed[to] = str(error)
            return
        except Undeliverable as error:
            sending.refused[to] = str(error)
            await self._note(key, f"refused {error}".encode())
            return
        sending.sent += 1
        await self._note(key, b"sent")

    async def _note(self, key: str, what: bytes) -> None:
        """Keeps trying for a minute: a lost note is a second mail."""
        for pause in (0.1, 0.2, 0.5, *[1.0] * 59):
            try:
                await self._ledger.set(key, what, ttl=LEDGER_TTL)
            except Fault as error:
                logger.warning("cannot note that a mail was sent, trying again: %s", error.message)
                await asyncio.sleep(pause)
            else:
                return
        await self._ledger.set(key, what, ttl=LEDGER_TTL)


def _sentence(what: str, by_recipient: dict[str, str]) -> str:
    return "; ".join(f"{to}: {what}: {said}" for to, said in by_recipient.items())
