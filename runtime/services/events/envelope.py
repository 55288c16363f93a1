"""Events as they are stored: CloudEvents 1.0 in its JSON form.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md, with the extension `partitionkey`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtime.services.events.backend import Draft
from runtime.services.events.ports import Event

if TYPE_CHECKING:
    from collections.abc import Iterable


class Stored(msgspec.Struct):
    """What is read of a stored event; its source and further attributes are for others."""

    id: str
    type: str
    time: datetime
    data: dict[str, Any]
    partitionkey: str | None = None


_BEFORE_ID: Final = b'{"specversion":"1.0","id":'
_BEFORE_DATA: Final = b',"datacontenttype":"application/json","data":'
_json: Final = msgspec.json.Encoder()
_stored: Final = msgspec.json.Decoder(Stored)


def pack(event: Event, source: str, data: bytes | None = None) -> bytes:
    """The stored form of an event.

    Args:
        source: who publishes, `runtime/core-services`.
        data: the event's data as JSON, where it is known already.
    """
    return pack_all([Draft(event, once=False, data=data)], source)[0]


def pack_all(drafts: Iterable[Draft], source: str) -> list[bytes]:
    """The stored forms of events, see `pack`. What an event has in common with the one before is written once."""
    encode, packed = _json.encode, []
    stream = type_ = time = None
    middle = b""
    for draft in drafts:
        event = draft.event
        if event.time is not time or event.type is not type_ or event.stream is not stream:
            stream, type_, time = event.stream, event.type, event.time
            middle = _source(source, stream) + _type(type_) + encode(time) + _BEFORE_DATA
        data = encode(event.data) if draft.data is None else draft.data
        end = b"}" if event.key is None else b',"partitionkey":' + encode(event.key) + b"}"
        packed.append(b"".join((_BEFORE_ID, encode(event.id), middle, data, end)))
    return packed


@lru_cache(maxsize=1000)
def _source(source: str, stream: str) -> bytes:
    return b',"source":' + _json.encode(f"{source}/{stream}")


@lru_cache(maxsize=1000)
def _type(type_: str) -> bytes:
    return b',"type":' + _json.encode(type_) + b',"time":'


def event_of(stored: bytes | None, stream: str, position: str) -> Event | None:
    """The event of a dead letter; None where what was stored is no event."""
    try:
        return unpack(stored or b"", stream, position)
    except ValueError:
        return None


def unpack(stored: bytes, stream: str, position: str) -> Event:
    """The event of its stored form.

    Raises:
        ValueError: this is no stored event.
    """
    try:
        known = _stored.decode(stored)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"the entry {position} of {stream} is no event: {error}") from error
    time = known.time if known.time.tzinfo is UTC else known.time.astimezone(UTC)
    return Event(known.id, position, stream, known.type, time, known.data, known.partitionkey)
