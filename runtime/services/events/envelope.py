"""Events as they are stored: CloudEvents 1.0 in its JSON form.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md, with the extension `partitionkey`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from runtime.services.events.ports import Event


class Stored(msgspec.Struct):
    """What is read of a stored event; its source and further attributes are for others."""

    id: str
    type: str
    time: datetime
    data: dict[str, Any]
    partitionkey: str | None = None


_json: Final = msgspec.json.Encoder()
_stored: Final = msgspec.json.Decoder(Stored)


def pack(event: Event, source: str, data: bytes | None = None) -> bytes:
    """The stored form of an event.

    Args:
        source: who publishes, `runtime/core-services`.
        data: the event's data as JSON, where it is known already.
    """
    encode = _json.encode
    key = b"" if event.key is None else b',"partitionkey":' + encode(event.key)
    return b"".join(
        (
            b'{"specversion":"1.0","id":',
            encode(event.id),
            _middle(source, event.stream, event.type),
            encode(event.time),
            b',"datacontenttype":"application/json","data":',
            encode(event.data) if data is None else data,
            key,
            b"}",
        )
    )


@lru_cache(maxsize=1000)
def _middle(source: str, stream: str, type_: str) -> bytes:
    """What all events of a type have in common."""
    return b"".join((b',"source":', _json.encode(f"{source}/{stream}"), b',"type":', _json.encode(type_), b',"time":'))


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
