"""Text messages as a channel, and the port of what carries them to the recipients' phones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from runtime.services.notifications.channels.port import Kind, Receipt, Report, SmsContent
from runtime.services.notifications.segments import segments
from runtime.services.phones import e164

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.services.notifications.channels.port import Callback, Message
    from runtime.services.notifications.channels.spec import SmsSection


@dataclass(frozen=True, slots=True)
class Text:
    """One text message to one number.

    Args:
        id: the same at every try, so that reports can name it.
        to: the number in its international form (E.164), `+431234567`.
        body: what it says.
    """

    id: str
    to: str
    body: str


@dataclass(frozen=True, slots=True)
class Request:
    """What a provider is asked over HTTP."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider answers.

    Args:
        headers: names in lower case.
        body: its JSON value; None where it is none.
    """

    status: int
    headers: Mapping[str, str]
    body: Any


class Provider(Protocol):
    """How one provider is spoken to. It opens no connection: it writes requests, and reads answers and callbacks."""

    def request(self, text: Text) -> Request:
        """What sends a message."""
        ...

    def receipt(self, answer: Answer) -> Receipt:
        """What an answer means."""
        ...

    def reports(self, callback: Callback) -> Sequence[Report]:
        """Reads a callback; raises as `Channel.reports`."""
        ...


class Carrier(Protocol):
    """Brings text messages to phones."""

    async def send(self, text: Text) -> Receipt:
        """Hands a message over; raises nothing that the provider or the network can cause."""
        ...

    def reports(self, callback: Callback) -> Sequence[Report]:
        """Reads a callback; raises as `Channel.reports`."""
        ...


class SmsChannel:
    """Text messages through a carrier; implements `Channel`.

    Args:
        spec: the channel's section.
        carrier: what brings them to phones.
    """

    kind: Kind = "sms"

    def __init__(self, spec: SmsSection, carrier: Carrier) -> None:
        self._spec = spec
        self._carrier = carrier

    async def send(self, message: Message) -> Receipt:
        content = message.content
        assert isinstance(content, SmsContent)  # noqa: S101 - the service renders by kind
        if wrong := fault_of(content.body, self._spec.max_segments):
            return Receipt("unfit", reason=wrong)
        try:
            number = e164(message.to, self._spec.region)
        except ValueError as error:
            return Receipt("bounced", reason=str(error))
        receipt = await self._carrier.send(Text(message.id, number, content.body))
        taken = segments(content.body)
        return replace(receipt, details={**receipt.details, "segments": taken.count, "encoding": taken.encoding})

    def reports(self, callback: Callback) -> Sequence[Report]:
        return self._carrier.reports(callback)


def fault_of(body: str, most: int) -> str:
    """Why a text cannot be sent; empty where it can.

    Args:
        most: segments that it may take.

    Example:
        >>> fault_of("Hello, здравствуйте! " * 30, 6)
        'the text takes 10 segments as UCS-2 (because of "з"), more than the 6 of `max_segments`'
    """
    if not body.strip():
        return "the text is empty"
    taken = segments(body)
    if taken.count <= most:
        return ""
    why = ""
    if taken.encoding == "UCS-2":
        first = next(each for each in body if segments(each).encoding == "UCS-2")
        why = f' (because of "{first}")'
    return f"the text takes {taken.count} segments as {taken.encoding}{why}, more than the {most} of `max_segments`"


STOPS: Final = frozenset({"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"})
"""Answers that end the messages to a number, as carriers and providers hold it."""
STARTS: Final = frozenset({"start", "unstop", "yes"})
"""Answers that let them come again."""


Wish = Literal["stopped", "started"]


def wish_of(answer: str, stop_words: Sequence[str] = ()) -> Wish | None:
    """What a recipient asks for with a whole answer; None where it is nothing of the kind.

    Args:
        stop_words: further ones, in other languages.

    Example:
        >>> wish_of(" Stop! "), wish_of("Opt-out"), wish_of("stop it please"), wish_of("Arrêt", ["arrêt"])
        ('stopped', 'stopped', None, 'stopped')
    """
    said = _word(answer)
    if said in STOPS or said in {_word(each) for each in stop_words}:
        return "stopped"
    return "started" if said in STARTS else None


def answered(number: str, answer: str, id_: str, wish: Wish | None) -> list[Report]:
    """The report of an answer that a recipient has sent; none where it asks for nothing.

    Args:
        id_: the provider's name of it.
    """
    if wish is None or not number:
        return []
    said = "".join(each if each.isprintable() else "?" for each in answer)[:40]
    return [Report(wish, address=f"+{number.removeprefix('+')}", reason=f"answered {said}", unique=f"{id_}:received")]


def _word(text: str) -> str:
    return "".join(each for each in text.casefold() if each.isalnum())
