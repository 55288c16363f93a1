"""The HTTP calls of streams."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from runtime.errors import Invalid
from runtime.http.access import OPEN, scope
from runtime.http.audit import audited
from runtime.http.paging import After, Limit, Page, cursor, position
from runtime.http.ports import Port
from runtime.http.sse import EventStream, ServerEvent
from runtime.services.events.ports import DeadEvent, Event, Events, Missed, NewEvent, StreamView

MAX_BATCH = 1000
MAX_REPLAYED = 1000

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


class BatchRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Events that are published together: all of them, or none."""

    events: Annotated[list[EventRequest], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]


class BatchAccepted(msgspec.Struct):
    """Events that have been stored, in the order in which they came."""

    items: list[EventAccepted]


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


class DeadShown(msgspec.Struct):
    """An event that a subscription could not handle.

    Args:
        position: where it stands in its stream, whether or not it is still kept there.
        error: what its last try said.
        event: null where what was stored is no event.
    """

    subscription: str
    position: str
    error: str
    tries: int
    event: EventShown | None

    @classmethod
    def of(cls, dead: DeadEvent) -> "DeadShown":
        event = EventShown.of(dead.event) if dead.event is not None else None
        return cls(dead.subscription, dead.position, dead.error, dead.tries, event)


class ReplayRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Which dead events are handled again; all, where nothing is named.

    Args:
        subscription: only this one's.
        ids: only events of these ids.
    """

    subscription: str | None = None
    ids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_REPLAYED)] | None = None


class ReplayedShown(msgspec.Struct):
    """What became of dead events that were to be handled again.

    Args:
        replayed: so many events are given to their subscriptions again.
        gone: those that the stream no longer keeps; they stay among the dead.
    """

    replayed: int
    gone: list[DeadShown]


def _letter(known: object) -> tuple[str, str]:
    match known:
        case [str(subscription), str(letter)]:
            return subscription, letter
    raise Invalid("`after` is not a cursor of this list", remedy="Begin again without `after`.")


def _server_event(told: Event | Missed) -> ServerEvent:
    """What a follower gets of an event, or of those that the stream no longer keeps."""
    if isinstance(told, Missed):
        return ServerEvent(None, "missed", told)
    return ServerEvent(told.position, told.type, EventShown.of(told))


class StreamRoutes(Controller):
    """Streams: publish, replay, follow; and what could not be handled."""

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

    @post(
        "/{stream:str}/events/batch",
        opt=scope("events:write"),
        status_code=HTTP_202_ACCEPTED,
        summary="Publish events together, all or none",
    )
    async def publish_batch(
        self, stream: FromPath[str], data: JSONBody[BatchRequest], events: Port[Events]
    ) -> BatchAccepted:
        new = [NewEvent(event.type, event.data, event.key, event.id) for event in data.events]
        stored = await events.publish_all(stream, new)
        return BatchAccepted([EventAccepted(event.id, event.position) for event in stored])

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

    @get("/{stream:str}/dead", opt=scope("events:read"), summary="Events that could not be handled")
    async def dead(
        self,
        stream: FromPath[str],
        events: Port[Events],
        subscription: Annotated[str | None, QueryParameter(description="Only this one's.")] = None,
        after: After = None,
        limit: Limit = 100,
    ) -> Page[DeadShown]:
        kind = f"dead:{stream}"
        begin = _letter(position(kind, after)) if after else None
        found = await events.dead(stream, subscription=subscription, after=begin, limit=limit)
        more = cursor(kind, [found[-1].subscription, found[-1].letter]) if len(found) == limit else None
        return Page([DeadShown.of(dead) for dead in found], more)

    @post(
        "/{stream:str}/dead/replay",
        opt={**scope("events:write"), **audited("stream.replay", "stream:{stream}", "subscription", "ids", "replayed")},
        status_code=HTTP_200_OK,
        summary="Have dead events handled again, by the subscriptions that could not",
    )
    async def replay_dead(
        self, stream: FromPath[str], data: JSONBody[ReplayRequest], events: Port[Events]
    ) -> ReplayedShown:
        ids = frozenset(data.ids) if data.ids is not None else None
        replayed = await events.replay(stream, subscription=data.subscription, ids=ids)
        return ReplayedShown(len(replayed.again), [DeadShown.of(dead) for dead in replayed.gone])

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
        begin = last_event_id or after or (await events.stream(stream)).last  # fixed before the answer says `open`
        followed = events.follow(stream, after=begin, types=frozenset(types or ()))
        return EventStream(followed, _server_event)


def description_controller(document: dict[str, Any]) -> type[Controller]:
    """The page that describes the streams for programs, as `/openapi.json` does the calls."""
    body = msgspec.json.encode(document)

    class DescriptionRoutes(Controller):
        @get("/asyncapi.json", opt=OPEN, include_in_schema=False, sync_to_thread=False)
        def asyncapi(self) -> Response[bytes]:
            return Response(body, media_type="application/vnd.aai.asyncapi+json")

    return DescriptionRoutes
