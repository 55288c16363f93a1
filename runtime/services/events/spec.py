"""The `events` section: streams, their events and who gets them."""

from __future__ import annotations

from typing import Annotated, Literal

from runtime.spec.fields import Dotted, Items, Keyed, Live, Named, Ref, Retry, Section, section, setting
from runtime.spec.kinds import DottedName, Duration, Form, PathField, Positive, Switch, Text

_TIME = r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z"

Start = Annotated[
    str,
    Form(
        "Start",
        "`new`, `beginning`, the position of an event, or a time in UTC.",
        pattern=rf"^(new|beginning|[0-9]{{1,20}}-[0-9]{{1,20}}|{_TIME})$",
        refusal='not a start: write "new", "beginning", a position "1732320000000-0" or a time in UTC',
        examples=["new", "beginning", "1732320000000-0", "2025-01-31T00:00:00Z"],
    ),
]

BUILT_IN_SUBSCRIBERS = ("audit.record", "billing.usage")
"""Subscribers that a subscription may name without a plugin."""


class RetentionSpec(Section):
    """How much of a stream is kept."""

    max_length: Positive = setting(100000, "About so many events.", example=10000)
    max_age: Duration = setting("7d", "Events of this age and younger.", example="30d")


class EventTypeSpec(Section):
    """A type of event."""

    schema_: PathField | None = setting(
        None,
        "A JSON Schema that the data must fit; without it any object does.",
        example="schemas/events/credits-used.json",
    )
    description: Text | None = setting(
        None, "What has happened when this event appears.", example="Credits were spent."
    )


class StreamSpec(Section):
    """An ordered log of events."""

    events: Dotted[EventTypeSpec] = setting({}, "The types of its events, by name.", example={"payment.received": {}})
    retention: Live[RetentionSpec | None] = setting(
        None,
        "How much of this stream is kept; by default as `events.retention` says.",
        example={"max_length": 10000},
    )


class SubscriptionSpec(Section):
    """A subscriber of a stream; every subscription gets every event, and its workers share them."""

    stream: Annotated[Text, Ref("events.streams")] = setting(..., "The stream it reads.", example="billing")
    handler: Annotated[Text, Ref("subscribers")] = setting(
        ...,
        "What handles the events: the name of a `@subscriber` in a plugin, or a built-in one.",
        example="billing.log",
    )
    types: Items[Annotated[DottedName, Ref("events.types")]] = setting(
        [], "The types of events that it wants; all, where none is named.", example=["credits.used"]
    )
    filter: Keyed[Text, str | bool | int | float] = setting(
        {}, "Values that fields of an event's data must have.", example={"currency": "USD"}
    )
    from_: Start = setting(
        "new",
        "Where a new subscription begins: `new`, `beginning`, an event's position, or a time in UTC.",
        example="beginning",
    )
    concurrency: Live[Positive] = setting(1, "How many events it handles at once.", example=4)
    timeout: Duration = setting(
        "60s", "How long one try of an event may take before another worker gets it.", example="5m"
    )
    retry: Retry = section("How often and how soon a failed event is tried again.")
    dead_letter: Switch = setting(
        True,
        "Whether an event whose last try failed is kept for a replay; otherwise it is dropped.",
        example=False,
    )
    key_order: Switch = setting(
        True, "Whether events with the same key are handled one after another, in order.", example=False
    )
    inbox: Switch = setting(
        False,
        "Whether the ids of handled events are remembered, so that none is handled twice.",
        example=True,
    )


class EventsSpec(Section):
    """The event bus."""

    backend: Literal["redis", "memory"] = setting(
        "redis", "`redis` for all instances, or `memory` within one process.", example="memory"
    )
    retention: Live[RetentionSpec] = section("How much of each stream is kept.")
    streams: Named[StreamSpec] = section("Streams by name.")
    subscriptions: Named[SubscriptionSpec] = section("Subscriptions by name.")
