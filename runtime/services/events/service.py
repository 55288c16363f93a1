"""The event bus: what may be published, and what a reader sees of it."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any, Final

import anyio

from runtime.errors import Invalid, NotFound, Pointer, Unreachable
from runtime.health import Health
from runtime.services.events.backend import Backend, Figures, Retention
from runtime.services.events.drafts import LONGEST_ID, Drafts
from runtime.services.events.figures import StreamCollector, Throughput
from runtime.services.events.following import follow
from runtime.services.events.platform import PlatformEvents
from runtime.services.events.ports import Announcement, DeadEvent, Event, Missed, NewEvent, Replayed, StreamView
from runtime.services.names import unknown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from runtime.plugins import Mark
    from runtime.services.events.spec import EventsSpec, StreamSpec
    from runtime.telemetry.metrics import Metrics

logger = logging.getLogger("runtime.events")

UPKEEP: Final = 10.0
"""Seconds between two looks at the streams."""
PAGE: Final = 200
POSITION: Final = re.compile(r"[0-9]{1,20}(-[0-9]{1,20})?")


class EventBus:
    """All streams of an environment; implements the port `Events`.

    Args:
        spec: the `events` section.
        backend: where the streams are kept.
        types: classes of the user's own that the data of events fit.
        metrics: shows how much goes through, while it runs.

    Raises:
        Fault: a type's schema or class cannot be used, or it has both.
    """

    def __init__(
        self, spec: EventsSpec, backend: Backend, types: Iterable[Mark] = (), metrics: Metrics | None = None
    ) -> None:
        self.backend = backend
        self.throughput = Throughput()
        self.platform = PlatformEvents(spec, self)
        self._spec = spec
        self._drafts = Drafts(spec, types)
        self._metrics = metrics
        self._figures_shown = StreamCollector(self.throughput)

    async def start(self) -> None:
        """The streams are where they are kept."""
        if self._metrics is not None:
            self._metrics.add(self._figures_shown)

    async def stop(self) -> None:
        """Lets go of those who follow a stream."""
        if self._metrics is not None:
            self._metrics.remove(self._figures_shown)
        await self.backend.close()

    async def update(self, fields: Mapping[str, Any]) -> None:
        changed = type(self._spec).model_validate(fields)
        self._spec = self._spec.model_copy(update={name: getattr(changed, name) for name in fields})

    async def watch(self) -> None:
        """Publishes the platform's own events, and looks after the streams."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.platform.run)
            group.start_soon(self._look_after)

    async def _look_after(self) -> None:
        """Measures the streams, and drops what has become too old in those that nobody publishes to."""
        while True:
            for name, declared in self._spec.streams.items():
                try:
                    await self.backend.sweep(name, self._retention(declared).max_age)
                    self.throughput.note(name, await self._figures(name))
                except Unreachable as error:
                    logger.debug("a stream could not be measured: %s", error)
            await asyncio.sleep(UPKEEP)

    async def health(self) -> Health:
        latest = self.throughput.latest()
        groups = [group for figures in latest.values() for group in figures.groups.values()]
        details = {
            "streams": len(self._spec.streams),
            "events": sum(figures.length for figures in latest.values()),
            "lag": sum(group.lag or 0 for group in groups),
            "dead": sum(group.dead for group in groups),
        }
        return Health(details=details)

    async def publish(
        self,
        stream: str,
        type: str,  # noqa: A002 - the envelope's word
        data: Mapping[str, Any],
        *,
        key: str | None = None,
        id: str | None = None,  # noqa: A002 - the envelope's word
    ) -> Event:
        declared = self._stream(stream)
        draft = self._drafts.one(stream, NewEvent(type, data, key, id))
        (event,) = await self.backend.append(stream, [draft], self._retention(declared))
        return event

    def check(self, stream: str, new: NewEvent) -> Event:
        self._stream(stream)
        return self._drafts.one(stream, new).event

    def entry(self, stream: str, type: str, data: Mapping[str, Any], *, key: str | None = None) -> Announcement | None:  # noqa: A002
        declared = self._stream(stream)
        draft = self._drafts.one(stream, NewEvent(type, data, key))
        return self.backend.entry(stream, draft, self._retention(declared))

    def keeps(self, stream: str) -> float:
        return self._retention(self._stream(stream)).max_age

    async def publish_all(self, stream: str, events: Sequence[NewEvent]) -> list[Event]:
        declared = self._stream(stream)
        drafts = self._drafts.all(stream, events)
        return await self.backend.append(stream, drafts, self._retention(declared)) if drafts else []

    async def read(
        self, stream: str, *, after: str = "0", types: frozenset[str] = frozenset(), limit: int = 100
    ) -> list[Event]:
        self._wanted(stream, types)
        position = _position(after)
        found: list[Event] = []
        while True:
            batch = await self.backend.read(stream, position, limit)
            found += [event for event in batch if not types or event.type in types]
            if len(found) >= limit or len(batch) < limit:
                return found[:limit]
            position = batch[-1].position

    def follow(
        self, stream: str, *, after: str = "$", types: frozenset[str] = frozenset()
    ) -> AsyncIterator[Event | Missed]:
        self._wanted(stream, types)
        return self._follow(stream, after if after == "$" else _position(after), types)

    async def streams(self) -> list[StreamView]:
        return [await self.stream(name) for name in self._spec.streams]

    async def stream(self, name: str) -> StreamView:
        declared = self._stream(name)
        return self.throughput.view(name, sorted(declared.events), await self._figures(name))

    async def _figures(self, stream: str) -> Figures:
        return await self.backend.figures(stream, self._subscriptions(stream, None))

    async def dead(
        self,
        stream: str,
        *,
        subscription: str | None = None,
        after: tuple[str, str] | None = None,
        limit: int = 100,
    ) -> list[DeadEvent]:
        found: list[DeadEvent] = []
        known, letter = after or ("", "0")
        for name in self._subscriptions(stream, subscription):
            if name >= known and len(found) < limit:
                begin = _position(letter) if name == known else "0"
                found += await self.backend.dead(stream, name, begin, limit - len(found))
        return found

    async def replay(
        self, stream: str, *, subscription: str | None = None, ids: frozenset[str] | None = None
    ) -> Replayed:
        wanted = [dead async for dead in self._dead(stream, subscription) if ids is None or _id(dead) in ids]
        if missing := sorted((ids or frozenset()).difference(map(_id, wanted))):
            raise NotFound(
                f'no dead event "{missing[0][:LONGEST_ID]}" in the stream "{stream}"',
                remedy=f"GET /v1/streams/{stream}/dead lists them.",
            )
        given: set[tuple[str, str]] = set()
        for name in {dead.subscription for dead in wanted}:
            letters = [dead.letter for dead in wanted if dead.subscription == name]
            for begin in range(0, len(letters), PAGE):
                again = await self.backend.replay(stream, name, letters[begin : begin + PAGE])
                given.update((name, letter) for letter in again)
        return Replayed(
            again=[dead for dead in wanted if (dead.subscription, dead.letter) in given],
            gone=[dead for dead in wanted if (dead.subscription, dead.letter) not in given],
        )

    async def _dead(self, stream: str, subscription: str | None) -> AsyncIterator[DeadEvent]:
        """Every dead event that is one: what could not be read will not be read at another try."""
        after: tuple[str, str] | None = None
        while page := await self.dead(stream, subscription=subscription, after=after, limit=PAGE):
            for dead in page:
                if dead.event is not None:
                    yield dead
            after = (page[-1].subscription, page[-1].letter)

    def _subscriptions(self, stream: str, only: str | None) -> list[str]:
        """The subscriptions of a stream, by name.

        Raises:
            NotFound: no such stream, or none of its subscriptions has the name that is wanted.
        """
        self._stream(stream)
        known = sorted(name for name, declared in self._spec.subscriptions.items() if declared.stream == stream)
        if only is None:
            return known
        if only not in known:
            raise unknown("subscription", only, known, within=f'of the stream "{stream}"')
        return [only]

    async def _follow(self, stream: str, after: str, types: frozenset[str]) -> AsyncIterator[Event | Missed]:
        async for told in follow(self.backend, stream, after):
            if not types or isinstance(told, Missed) or told.type in types:
                yield told

    def _stream(self, name: str) -> StreamSpec:
        try:
            return self._spec.streams[name]
        except KeyError:
            raise unknown("stream", name, self._spec.streams) from None

    def _wanted(self, stream: str, types: frozenset[str]) -> None:
        declared = self._stream(stream)
        for name in types:
            if name not in declared.events:
                raise unknown("event type", name, declared.events, within=f'in the stream "{stream}"')

    def _retention(self, stream: StreamSpec) -> Retention:
        kept = stream.retention or self._spec.retention
        return Retention(kept.max_length, kept.max_age)


def _id(dead: DeadEvent) -> str:
    return dead.event.id if dead.event is not None else ""


def _position(after: str) -> str:
    if not POSITION.fullmatch(after) or any(int(part) >= 2**64 for part in after.split("-")):
        raise Invalid(
            f'"{after[:100]}" is no position in a stream',
            errors=[Pointer("?after", "such as 1732320000000-0")],
            remedy="Give the `position` of an event, or 0 for the beginning.",
        )
    return after
