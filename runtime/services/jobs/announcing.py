"""What the queues say of themselves on the event bus, where a stream of the spec declares it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from runtime.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.services.events.ports import Events

logger = logging.getLogger("runtime.jobs")


class Announcer:
    """Publishes what the queues say; what fails is logged, and harms no job.

    Args:
        events: the bus; None where there is none.
        declared: event type -> the streams whose spec declares it.
    """

    def __init__(self, events: Events | None, declared: Mapping[str, Sequence[str]]) -> None:
        self._events = events
        self._declared = declared

    async def say(self, type_: str, data: Mapping[str, Any]) -> None:
        """Publishes an event on each stream that declares its type; nothing where none does."""
        for stream in self._declared.get(type_, ()):
            assert self._events is not None  # noqa: S101 - only a bus declares streams
            try:
                await self._events.publish(stream, type_, data)
            except Fault as error:
                logger.warning("%s was not published: %s", type_, error.message)
