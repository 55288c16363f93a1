"""Any provider of text messages with an HTTP interface, as the spec describes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from jinja2.exceptions import TemplateError
from jinja2.meta import find_undeclared_variables

from runtime.errors import Fault, Invalid, Pointer
from runtime.services.notifications.adapters.jinja import Missing, environment
from runtime.services.notifications.adapters.sms_gateway import by_status, field, one_line, text_at
from runtime.services.notifications.channels.port import Receipt, Report
from runtime.services.notifications.channels.signature import require_signed, secret_of
from runtime.services.notifications.channels.sms import Request, Text, answered, wish_of
from runtime.services.phones import e164

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.notifications.channels.port import Callback, Event
    from runtime.services.notifications.channels.sms import Answer
    from runtime.services.notifications.channels.spec import AnswerMeaning, GenericSmsChannel

TRIAL: Final = Text("0" * 32, "+12025550100", 'a "quoted"\nline')
"""What a template is tried with when it is read."""


class Reported(msgspec.Struct):
    """One thing that a provider reports.

    Args:
        type: `received` is an answer of a recipient.
        message_id: the provider's name of the message.
        delivery: our own, `id` of the template; one of both is needed but for `received`.
        address: the number that the message went to, or that the answer comes from.
        permanent: of what has failed, whether the number never takes messages.
        reason: in the provider's words.
        text: of an answer.
    """

    type: Literal["delivered", "failed", "received"]
    message_id: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    delivery: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    address: Annotated[str, msgspec.Meta(max_length=20)] | None = None
    permanent: bool = False
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""
    text: Annotated[str, msgspec.Meta(max_length=4000)] = ""


class ReportBody(msgspec.Struct):
    """The body of a callback."""

    events: Annotated[list[Reported], msgspec.Meta(min_length=1, max_length=1000)]


class GenericSms:
    """Speaks as the spec says; implements `Provider`.

    Args:
        spec: the channel's section.
        callback_url: where the provider reaches us; None where that is not known.

    Raises:
        Fault: `body` is no template, asks for what there is not, or does not become JSON where it should.
    """

    def __init__(self, spec: GenericSmsChannel, callback_url: str | None) -> None:
        self._spec = spec
        self._callback_url = callback_url if spec.callback_secret is not None else None
        made = environment(None, "en")
        try:
            if unknown := sorted(find_undeclared_variables(made.parse(spec.body)) - set(self._values(TRIAL))):
                raise _wrong(f"it shows `{unknown[0]}`", f"It knows {', '.join(self._values(TRIAL))}.")
            self._template = made.from_string(spec.body)
            tried = self._template.render(self._values(TRIAL))
            if "json" in spec.content_type and spec.method != "GET":
                json.loads(tried)
        except TemplateError as error:
            raise _wrong(one_line(str(error)), "Correct the template.") from None
        except (Missing, TypeError, ValueError) as error:
            said = f"with a text that has quotes and lines it makes no {spec.content_type}: {error}"
            raise _wrong(one_line(said), "Write each value with `| tojson`, in a form with `| urlencode`.") from None

    def request(self, text: Text) -> Request:
        spec, body = self._spec, self._template.render(self._values(text))
        headers = {name: value.get_secret_value() for name, value in spec.headers.items()}
        if spec.method == "GET":
            return Request("GET", f"{spec.url}{'&' if '?' in spec.url else '?'}{body}", headers, b"")
        return Request(spec.method, spec.url, {"Content-Type": spec.content_type, **headers}, body.encode())

    def _values(self, text: Text) -> dict[str, str]:
        return {
            "to": text.to,
            "from": self._spec.from_ or "",
            "text": text.body,
            "id": text.id,
            "callback_url": self._callback_url or "",
        }

    def receipt(self, answer: Answer) -> Receipt:
        spec = self._spec.answers
        code, said = _at(answer, spec.code), _at(answer, spec.reason)
        usual = by_status(answer, f"{code} {said}", _at(answer, spec.id) or None)
        exact, hundred = str(answer.status), f"{answer.status // 100}xx"
        meaning = spec.codes.get(code) or spec.statuses.get(exact) or spec.statuses.get(hundred)
        if meaning is None:
            return usual
        return _receipt(meaning, one_line(f"{answer.status} {code} {said}"), usual, answer.status)

    def reports(self, callback: Callback) -> Sequence[Report]:
        unique = require_signed(callback, secret_of(self._spec.callback_secret))
        try:
            body = msgspec.json.decode(callback.body, type=ReportBody)
        except msgspec.MsgspecError as error:
            raise Invalid(
                f"the report cannot be understood: {error}", errors=[Pointer("/events", str(error))]
            ) from error
        return [found for place, each in enumerate(body.events) for found in self._told(each, f"{unique}:{place}")]

    def _told(self, each: Reported, unique: str) -> list[Report]:
        address = self._number(each.address) if each.address else None
        if each.type == "received":
            return answered(address or "", each.text, unique, wish_of(each.text, self._spec.stop_words))
        event: Event = "delivered" if each.type == "delivered" else "bounced" if each.permanent else "failed"
        return [Report(event, each.message_id, address, one_line(each.reason), unique, each.delivery)]

    def _number(self, address: str) -> str:
        try:
            return e164(address, self._spec.region)
        except ValueError:
            return address


def _receipt(meaning: AnswerMeaning, reason: str, usual: Receipt, status: int) -> Receipt:
    match meaning:
        case "accepted":
            return Receipt("sent", id=usual.id)
        case "temporary":
            return Receipt("later", reason=reason, after=usual.after, down=status >= 500)
        case "permanent":
            return Receipt("bounced", reason=reason)
        case "stopped":
            return Receipt("stopped", reason=reason)
        case "refused":
            return Receipt("refused", reason=reason, down=True)
        case "failed":
            return Receipt("unfit", reason=reason)


def _at(answer: Answer, path: str | None) -> str:
    """The text at a path, `messages.0.id`; empty where there is none."""
    if path is None:
        return ""
    place: Any = answer.body
    *before, last = (int(step) if step.isdecimal() else step for step in path.split("."))
    for step in before:
        place = field(place, step)
    return text_at(place, last)


def _wrong(what: str, remedy: str) -> Fault:
    return Fault(f"notifications: the `body` of a channel of text messages cannot be used: {what}", remedy=remedy)
