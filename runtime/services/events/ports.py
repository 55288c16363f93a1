"""What other services and the user's own subscribers may use of the event bus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream.

    Args:
        id: unique; the publisher's own where it gave one.
        position: where it stands in its stream, `1732320000000-0`; the cursor for replay and `Last-Event-ID`.
        stream: the stream's name in the spec.
        type: `credits.used`.
        time: when it was published, UTC.
        data: JSON object.
        key: events of one key are in order.
    """

    id: str
    position: str
    stream: str
    type: str
    time: datetime
    data: Mapping[str, Any]
    key: str | None = None


@dataclass(frozen=True, slots=True)
class StreamView:
    """A stream as a caller sees it.

    Args:
        types: the types of its events.
        length: events that it holds.
        first: the position of the oldest; None in an empty one.
        last: the position of the newest that it ever had; `0-0` before the first.
        subscriptions: the spec's subscriptions of it.
    """

    name: str
    types: list[str]
    length: int
    first: str | None
    last: str
    subscriptions: list[str]


class Events(Protocol):
    """The event bus, for whoever publishes or reads."""

    async def publish(
        self,
        stream: str,
        type: str,  # noqa: A002
        data: Mapping[str, Any],
        *,
        key: str | None = None,
        id: str | None = None,  # noqa: A002
    ) -> Event:
        """Appends an event; when it returns, the event is stored.

        Raises:
            NotFound: no such stream or type, with the nearest name.
            Invalid: `data` does not fit the type's schema.
            TooLarge: `data` is over 256 kB as JSON.
            Unreachable: Redis does not answer.
        """
        ...

    async def read(
        self, stream: str, *, after: str = "0", types: frozenset[str] = frozenset(), limit: int = 100
    ) -> list[Event]:
        """Events after a position, oldest first."""
        ...

    def follow(self, stream: str, *, after: str = "$", types: frozenset[str] = frozenset()) -> AsyncIterator[Event]:
        """Events after a position (`$` = from now), and then each new one as it comes."""
        ...

    async def streams(self) -> list[StreamView]:
        """Every stream, in the spec's order."""
        ...

    async def stream(self, name: str) -> StreamView:
        """One stream.

        Raises:
            NotFound: no such stream.
        """
        ...
