"""What other services and the user's own subscribers may use of the event bus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct


class Event(Struct, frozen=True):
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
class Missed:
    """What a follower is told when it was away or too slow: the stream no longer keeps what came after its place.

    Args:
        after: the last position that it knew.
        next: the position of the first event that it gets instead; None where there is none yet.
    """

    after: str
    next: str | None


class NewEvent(Struct, frozen=True):
    """An event that is to be published; the words are those of `Event`."""

    type: str
    data: Mapping[str, Any]
    key: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class SubscriptionView:
    """A subscription in numbers, over all of its workers.

    Args:
        lag: events that it has not been given; None where the server cannot tell.
        pending: events that its workers have in hand.
        dead: dead letters.
        workers: how many share it now.
        per_second: events that it was given a second, over the last minute; None before there is a measure.
    """

    name: str
    lag: int | None
    pending: int
    dead: int
    workers: int
    per_second: float | None


@dataclass(frozen=True, slots=True)
class StreamView:
    """A stream as a caller sees it.

    Args:
        types: the types of its events.
        length: events that it holds.
        first: the position of the oldest; None in an empty one.
        last: the position of the newest that it ever had; `0-0` before the first.
        published: events that it ever had.
        per_second: events published a second, over the last minute; None before there is a measure.
        subscriptions: the spec's subscriptions of it.
    """

    name: str
    types: list[str]
    length: int
    first: str | None
    last: str
    published: int
    per_second: float | None
    subscriptions: list[SubscriptionView]


@dataclass(frozen=True, slots=True)
class DeadEvent:
    """An event that a subscription could not handle.

    Args:
        subscription: whose it is.
        letter: where it stands among that subscription's dead letters.
        position: where the event stands in its stream, whether or not it is still kept there.
        error: what the last try said.
        tries: how many there were.
        event: None where what was stored is no event.
    """

    subscription: str
    letter: str
    position: str
    error: str
    tries: int
    event: Event | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of dead events that were to be handled again.

    Args:
        again: those that their subscriptions are given again.
        gone: those that their stream no longer keeps; they stay among the dead.
    """

    again: list[DeadEvent]
    gone: list[DeadEvent]


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

    def check(self, stream: str, new: NewEvent) -> Event:
        """The event that would be published, with its id and without its position; nothing is stored.

        Raises:
            NotFound, Invalid, TooLarge: as `publish`.
        """
        ...

    def keeps(self, stream: str) -> float:
        """The seconds for which a stream keeps its events.

        Raises:
            NotFound: no such stream.
        """
        ...

    def entry(self, stream: str, type: str, data: Mapping[str, Any], *, key: str | None = None) -> Announcement | None:  # noqa: A002
        """An event to be stored in a step of somebody else's at the same server; None where the bus has no server.

        Raises:
            As `publish`.
        """
        ...

    async def publish_all(self, stream: str, events: Sequence[NewEvent]) -> list[Event]:
        """Appends events one after another with nothing between them, in one round trip: all of them, or none.

        Raises:
            NotFound: no such stream.
            Invalid: names what is wrong with each event that is, by its place: `/events/3/data`.
            Unreachable: Redis does not answer.
        """
        ...

    async def read(
        self, stream: str, *, after: str = "0", types: frozenset[str] = frozenset(), limit: int = 100
    ) -> list[Event]:
        """Events after a position, oldest first."""
        ...

    def follow(
        self, stream: str, *, after: str = "$", types: frozenset[str] = frozenset()
    ) -> AsyncIterator[Event | Missed]:
        """Events after a position (`$` = from now), and then each new one as it comes.

        Nothing is read ahead of whoever follows by more than a page: one that is slow slows nobody else, and is told
        in its place when the stream has dropped what it had not read yet.
        """
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

    async def dead(
        self,
        stream: str,
        *,
        subscription: str | None = None,
        after: tuple[str, str] | None = None,
        limit: int = 100,
    ) -> list[DeadEvent]:
        """The dead events of a stream's subscriptions, by subscription and oldest first.

        Args:
            subscription: only this one's.
            after: the `subscription` and the `letter` of the last one that is known.

        Raises:
            NotFound: no such stream, or no such subscription of it.
        """
        ...

    async def replay(
        self, stream: str, *, subscription: str | None = None, ids: frozenset[str] | None = None
    ) -> Replayed:
        """Gives dead events to the subscriptions that they are dead for, and to no other, with all their tries.

        A subscription takes them over within seconds, as it does with what a silent worker has left.

        Args:
            subscription: only this one's.
            ids: only events of these ids.

        Raises:
            NotFound: no such stream or subscription, or no dead event of one of the ids; nothing is replayed then.
        """
        ...


@dataclass(frozen=True, slots=True)
class Announcement:
    """An event as its stream keeps it, for whoever stores it in a step of its own at the same server.

    Args:
        stream: the key of the stream.
        most: entries that the stream keeps, roughly.
        fields: names and values, in turn.
    """

    stream: str
    most: int
    fields: Sequence[str]


class Platform(Protocol):
    """The environment's own events, for the services in which they happen. Telling never waits and never fails."""

    def streams(self, type_: str) -> Sequence[str]:
        """The streams that declare a type."""
        ...

    def wants(self, type_: str) -> bool:
        """Whether any stream declares a type, so that what is costly to find out need not be where none does."""
        ...

    def scaled(self, queue: str, *, before: int, after: int, reason: str) -> None:
        """A queue has another concurrency: `workers.scaled`."""
        ...

    def job_ended(self, job: str, queue: str, *, status: str, error: str | None = None) -> None:
        """A job has `completed`, `failed` or been `cancelled`: `job.completed` and so on."""
        ...

    def job_runs_long(self, job: str, queue: str, *, owner: str | None, ran: float, step: str) -> None:
        """A job runs long: `job.long_running`.

        Args:
            ran: seconds.
            step: `warned`, `paused` or `stopped`.
        """
        ...

    def preferences_changed(self, user: str, *, by: str, category: str | None) -> None:
        """A user wants other notifications: `preferences.changed`.

        Args:
            by: `user`, or `unsubscribe` for the link in a mail.
            category: the one that it is about; None for the settings as a whole.
        """
        ...

    def delivery_ended(
        self, delivery: str, notification: str, recipient: str, *, kind: str, status: str, reason: str
    ) -> None:
        """A delivery was `sent`, `delivered`, has `bounced`, was `complained` about, `suppressed` or has `failed`:
        `notification.sent` and so on."""
        ...

    def sign_in_refused(self, address: str, *, method: str, reason: str) -> None:
        """Somebody showed a wrong credential: `login.failed`.

        Args:
            method: `key`, `password` and so on.
        """
        ...
