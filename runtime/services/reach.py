"""Whether the server that keeps jobs and events answers, as one of its workers knows it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from runtime.services.away import AWAY, reason

if TYPE_CHECKING:
    import logging
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0


class Activity(Protocol):
    """What a worker does, for its health."""

    away: str | None
    """Why the server does not answer; None while it does."""


class Reach:
    """Says once that the server is away, and once that it is back.

    Args:
        name: of the queue or subscription, for the log.
        activity: where it is noted.
        logger: the service's.
    """

    def __init__(self, name: str, activity: Activity, logger: logging.Logger) -> None:
        self._name = name
        self._activity = activity
        self._logger = logger

    def away(self, error: BaseException) -> None:
        """It has not answered."""
        if self._activity.away is None:
            self._logger.warning("%s: Redis does not answer, waiting for it: %s", self._name, reason(error))
        self._activity.away = reason(error)

    def answered(self) -> None:
        """It has."""
        if self._activity.away is not None:
            self._logger.info("%s: Redis answers again", self._name)
        self._activity.away = None

    async def until(self, step: Callable[[], Awaitable[T]]) -> T:
        """Repeats a step until the server has answered."""
        pause = FIRST_PAUSE
        while True:
            try:
                return await step()
            except AWAY as error:
                self.away(error)
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)
