"""Events as they are stored: CloudEvents 1.0 in its JSON form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from runtime.services.events.ports import Event


def pack(event: Event, source: str) -> str:
    """The stored form of an event.

    Args:
        source: who publishes, `runtime/core-services`.
    """
    stored: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"{source}/{event.stream}",
        "type": event.type,
        "time": event.time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": event.data,
    }
    if event.key is not None:
        stored["partitionkey"] = event.key
    return json.dumps(stored, separators=(",", ":"), allow_nan=False)


def event_of(fields: Mapping[bytes, bytes], stream: str, position: str) -> Event | None:
    """The event of a dead letter; None where what was stored is no event."""
    try:
        return unpack(fields.get(b"event", b""), stream, position)
    except ValueError:
        return None


def unpack(stored: bytes | str, stream: str, position: str) -> Event:
    """The event of its stored form.

    Raises:
        ValueError: this is no stored event.
    """
    known = json.loads(stored)
    if not isinstance(known, Mapping) or not isinstance(known.get("data"), Mapping):
        raise ValueError(f"the entry {position} of {stream} is no event")
    try:
        return Event(
            id=known["id"],
            position=position,
            stream=stream,
            type=known["type"],
            time=datetime.fromisoformat(known["time"]).astimezone(UTC),
            data=known["data"],
            key=known.get("partitionkey"),
        )
    except KeyError as error:
        raise ValueError(f"the entry {position} of {stream} has no {error}") from error
