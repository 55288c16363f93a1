"""What the notification queues run: the built-in tasks."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from runtime.errors import Fault
from runtime.services.jobs.ports import JobContext, Reject
from runtime.services.notifications.ports import Letter, Mailer, Undeliverable, Undelivered

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.storage.ports import Cache

logger = logging.getLogger("runtime.notifications")

LEDGER_TTL: Final = 14 * 86_400.0
"""Seconds for which it is remembered who has got a mail: longer than a failed job is kept for a replay."""
MOST_RECIPIENTS: Final = 50

Address = Annotated[str, msgspec.Meta(min_length=3, max_length=320)]


class Email(msgspec.Struct, forbid_unknown_fields=True):
    """The payload of `notifications.email`.

    Args:
        to: whom it goes to; each gets a message of their own.
        subject: one line.
        text: for readers without HTML.
        html: for the others.
    """

    to: Annotated[list[Address], msgspec.Meta(min_length=1, max_length=MOST_RECIPIENTS)]
    subject: Annotated[str, msgspec.Meta(max_length=998)]
    text: str
    html: str | None = None


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

    async def email(job: JobContext, payload: Email) -> dict[str, Any]:
        return await sender.send(job, payload)

    return email


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
        recipients = list(dict.fromkeys(payload.to))
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
        letter = Letter(digest, to, payload.subject, payload.text, payload.html)
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
