"""The HTTP calls of streams."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from litestar.status_codes import HTTP_202_ACCEPTED

from runtime.http.access import scope
from runtime.http.paging import Limit, Page
from runtime.http.ports import Port
from runtime.http.sse import EventStream, ServerEvent
from runtime.services.events.ports import Event, Events, StreamView

Types = Annotated[
    list[str] | None,
    QueryParameter(name="type", description="Only events of these types; all where none is given."),
]


class EventRequest(msgspec.Struct, forbid_unknown_fields=True):
    """An event to be published.

    Args:
        type: one of the stream's types.
        data: what has happened.
        key: events of one key are in order.
        id: the publisher's own; within 24 hours an event of the same id is stored once.
    """

    type: str
    data: dict[str, Any] = {}
    key: str | None = None
    id: str | None = None


class EventAccepted(msgspec.Struct):
    """An event that has been stored: its id and its place in the stream."""

    id: str
    position: str


class EventShown(msgspec.Struct):
    """An event of a stream."""

    id: str
    position: str
    stream: str
    type: str
    time: datetime
    data: dict[str, Any]
    key: str | None

    @classmethod
    def of(cls, event: Event) -> "EventShown":
        return cls(event.id, event.position, event.stream, event.type, event.time, dict(event.data), event.key)


class StreamRoutes(Controller):
    """Streams: publish, replay, follow."""

    path = "/v1/streams"
    tags = ["streams"]

    @get("/", opt=scope("events:read"), summary="Every stream")
    async def streams(self, events: Port[Events]) -> Page[StreamView]:
        return Page(await events.streams())

    @get("/{stream:str}", opt=scope("events:read"), summary="One stream")
    async def stream(self, stream: FromPath[str], events: Port[Events]) -> StreamView:
        return await events.stream(stream)

    @post(
        "/{stream:str}/events",
        opt=scope("events:write"),
        status_code=HTTP_202_ACCEPTED,
        summary="Publish an event",
    )
    async def publish(self, stream: FromPath[str], data: JSONBody[EventRequest], events: Port[Events]) -> EventAccepted:
        event = await events.publish(stream, data.type, data.data, key=data.key, id=data.id)
        return EventAccepted(event.id, event.position)

    @get("/{stream:str}/events", opt=scope("events:read"), summary="Replay a stream, oldest first")
    async def replay(
        self,
        stream: FromPath[str],
        events: Port[Events],
        types: Types = None,
        after: Annotated[
            str, QueryParameter(max_length=64, description="The position to begin after; 0 for the oldest.")
        ] = "0",
        limit: Limit = 100,
    ) -> Page[EventShown]:
        found = await events.read(stream, after=after, types=frozenset(types or ()), limit=limit)
        more = found[-1].position if len(found) == limit else None
        return Page([EventShown.of(event) for event in found], more)

    @get("/{stream:str}/subscribe", opt=scope("events:read"), summary="Follow a stream by Server-Sent Events")
    async def subscribe(
        self,
        stream: FromPath[str],
        events: Port[Events],
        types: Types = None,
        last_event_id: Annotated[
            str | None,
            HeaderParameter(
                name="Last-Event-ID",
                max_length=64,
                description="The position of the last event that was received.",
            ),
        ] = None,
        after: Annotated[
            str | None,
            QueryParameter(
                max_length=64,
                description="The same as `Last-Event-ID`, which comes first; neither: from now on.",
            ),
        ] = None,
    ) -> EventStream:
        followed = events.follow(stream, after=last_event_id or after or "$", types=frozenset(types or ()))
        return EventStream(followed, lambda event: ServerEvent(event.position, event.type, EventShown.of(event)))
