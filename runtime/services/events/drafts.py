"""New events, checked against what the spec declares and made ready to be stored."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtime.errors import Invalid, NotFound, Pointer, RequestFault, TooLarge
from runtime.services.document import Document
from runtime.services.events.backend import Draft
from runtime.services.events.ports import Event
from runtime.services.events.types import shapes
from runtime.services.names import time_ordered_all, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runtime.plugins import Mark
    from runtime.services.events.ports import NewEvent
    from runtime.services.events.spec import EventsSpec
    from runtime.services.shape import Shape

LARGEST_EVENT: Final = 256_000
LONGEST_ID: Final = 200
_json: Final = msgspec.json.Encoder()


class Drafts:
    """Makes drafts of new events.

    Args:
        spec: the `events` section.
        types: classes of the user's own that the data of events fit.

    Raises:
        Fault: a type's schema or class cannot be used, or it has both.
    """

    def __init__(self, spec: EventsSpec, types: Iterable[Mark]) -> None:
        classes = shapes(spec, types)
        self._types: dict[str, dict[str, Document | Shape | None]] = {
            stream: {
                name: classes.get(name) if kind.schema_ is None else Document(kind.schema_, "/data")
                for name, kind in declared.events.items()
            }
            for stream, declared in spec.streams.items()
        }

    def one(self, stream: str, new: NewEvent) -> Draft:
        """The draft of an event.

        Raises:
            NotFound, Invalid, TooLarge: it does not fit its stream or type.
        """
        return self._draft(stream, self._types[stream], new, time_ordered_all(1)[0], datetime.now(UTC))

    def all(self, stream: str, events: Sequence[NewEvent]) -> list[Draft]:
        """The drafts of events that are published together.

        Raises:
            Invalid: names what is wrong with each event that is, by its place: `/events/3/data`.
        """
        types, now = self._types[stream], datetime.now(UTC)
        drafts: list[Draft] = []
        wrong: list[Pointer] = []
        for place, (new, own) in enumerate(zip(events, time_ordered_all(len(events)), strict=True)):
            try:
                drafts.append(self._draft(stream, types, new, own, now))
            except RequestFault as fault:
                wrong += [Pointer(f"/events/{place}{pointer}", detail) for pointer, detail in _told(fault)]
        if wrong:
            count = len(events) - len(drafts)
            raise Invalid(f"{count} of {len(events)} events cannot be published, so none was", errors=wrong)
        return drafts

    def _draft(
        self, stream: str, types: Mapping[str, Document | Shape | None], new: NewEvent, own: str, now: datetime
    ) -> Draft:
        type_, data, id_, key = new.type, new.data, new.id, new.key
        if type_ not in types:
            raise unknown("event type", type_, types, within=f'in the stream "{stream}"')
        if id_ is not None:
            _require_text("id", id_)
        if key is not None:
            _require_text("key", key)
        encoded = _encoded(data)
        if (kind := types[type_]) is not None:
            _require_fit(kind, type_, data)
        event = Event(id_ or own, "", stream, type_, now, data, key)
        return Draft(event, id_ is not None, encoded)


def _require_fit(kind: Document | Shape, type_: str, data: Mapping[str, Any]) -> None:
    if isinstance(kind, Document):
        kind.check(data, f'the data of "{type_}"')
    else:
        kind.parse(data)


def _require_text(name: str, value: str) -> None:
    if not 0 < len(value) <= LONGEST_ID:
        raise Invalid(
            f"an event's {name} has 1 to {LONGEST_ID} characters, this one has {len(value)}",
            errors=[Pointer(f"/{name}", f"1 to {LONGEST_ID} characters")],
        )


def _encoded(data: Mapping[str, Any]) -> bytes:
    """The data as JSON.

    Raises:
        Invalid: it is none.
        TooLarge: it is over `LARGEST_EVENT` bytes.
    """
    try:
        encoded = _json.encode(data)
        if b"null" in encoded:  # what is no number becomes null there; the strict encoder refuses it
            json.dumps(data, allow_nan=False)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise Invalid(f"the data is no JSON: {error}", errors=[Pointer("/data", str(error))]) from error
    if len(encoded) > LARGEST_EVENT:
        raise TooLarge(
            f"the data has {len(encoded):,} bytes as JSON, an event takes at most {LARGEST_EVENT:,}",
            remedy="Store the bulk elsewhere and put its address into the event.",
        )
    return encoded


def _told(fault: RequestFault) -> Sequence[Pointer]:
    """What a fault says of one event, place by place."""
    if isinstance(fault, Invalid) and fault.errors:
        return fault.errors
    about = "/type" if isinstance(fault, NotFound) else "/data"
    return [Pointer(about, f"{fault.message}. {fault.remedy}".rstrip(". "))]
