"""Following a stream: what was missed, what comes, and word of what is gone."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from runtime.services.events.ports import Missed
from runtime.services.events.positions import parsed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runtime.services.events.backend import Backend
    from runtime.services.events.ports import Event

PAGE: Final = 200
SLOW: Final = 1.0
"""Seconds after which it is looked whether a follower has been overtaken by the stream's end."""


async def follow(backend: Backend, stream: str, after: str) -> AsyncIterator[Event | Missed]:
    """The events of a stream after a position, without an end.

    Args:
        after: a position, or `$` for what comes from now on.
    """
    grown, read_at = asyncio.Event(), 0.0
    if after == "$":
        after, read_at = (await backend.figures(stream)).last, time.monotonic()
    while True:
        events = await backend.read(stream, after, PAGE)
        if time.monotonic() - read_at > SLOW and (gap := await _gap(backend, stream, after, events)):
            yield gap
        read_at = time.monotonic()
        for event in events:
            yield event
            after = event.position
        if not events:
            grown.clear()
            backend.notify(stream, after, grown.set)
            await grown.wait()
            read_at = time.monotonic()


async def _gap(backend: Backend, stream: str, after: str, events: list[Event]) -> Missed | None:
    """What is gone between a position and the events that were read after it."""
    if parsed(after) == (0, 0):
        return None
    figures = await backend.figures(stream)
    if figures.first is None:
        return Missed(after, None) if parsed(figures.last) > parsed(after) else None
    if parsed(figures.first) <= parsed(after) or not events or parsed(events[0].position) < parsed(figures.first):
        return None
    return Missed(after, events[0].position)
