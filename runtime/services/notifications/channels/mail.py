"""E-mail as a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from runtime.errors import Invalid, NotFound, Pointer
from runtime.services.notifications.channels.port import Kind, MailContent, Receipt, Report
from runtime.services.notifications.channels.signature import require_signed
from runtime.services.notifications.letters import Letter, Undeliverable, Undelivered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.notifications.channels.port import Callback, Message
    from runtime.services.notifications.letters import Mailer


class Reported(msgspec.Struct):
    """One thing that a provider reports.

    Args:
        type: what happened to the mail.
        message_id: the mail's Message-ID, with or without its brackets.
        address: whom it was to; needed without a `message_id`.
        permanent: of a bounce, whether the address never takes mail; otherwise the mail has failed, no more.
        reason: in the provider's words.
    """

    type: Literal["delivered", "bounce", "complaint"]
    message_id: Annotated[str, msgspec.Meta(max_length=400)] | None = None
    address: Annotated[str, msgspec.Meta(max_length=320)] | None = None
    permanent: bool = True
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""


class ReportBody(msgspec.Struct):
    """The body of a callback."""

    events: Annotated[list[Reported], msgspec.Meta(min_length=1, max_length=1000)]


class MailChannel:
    """Mails through a mail server; implements `Channel`.

    Args:
        mailer: the server.
    """

    kind: Kind = "email"

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer

    async def send(self, message: Message) -> Receipt:
        content = message.content
        assert isinstance(content, MailContent)  # noqa: S101 - the service renders by kind
        letter = Letter(
            message.id, message.to, content.subject, content.text, content.html, message.unsubscribe, message.category
        )
        try:
            id_ = await self._mailer.send(letter)
        except Undelivered as error:
            return Receipt("refused" if error.refused else "later", reason=str(error), down=error.down)
        except Undeliverable as error:
            return Receipt("bounced" if error.address else "unfit", reason=str(error))
        return Receipt("sent", id=id_)

    def reports(self, callback: Callback) -> Sequence[Report]:
        secret = self._mailer.callback_secret
        if secret is None:
            raise NotFound(
                "this channel takes no reports", remedy="Set `callback_secret` of the channel, and sign with it."
            )
        id_ = require_signed(callback, secret)
        try:
            body = msgspec.json.decode(callback.body, type=ReportBody)
        except msgspec.MsgspecError as error:
            raise Invalid(
                f"the report cannot be understood: {error}", errors=[Pointer("/events", str(error))]
            ) from error
        return [_report(each, f"{id_}:{place}") for place, each in enumerate(body.events)]


def _report(each: Reported, unique: str) -> Report:
    id_ = each.message_id.strip().strip("<>") if each.message_id else None
    address = each.address.strip().lower() if each.address else None
    if each.type == "bounce":
        return Report("bounced" if each.permanent else "failed", id_, address, each.reason, unique)
    return Report("complained" if each.type == "complaint" else "delivered", id_, address, each.reason, unique)
