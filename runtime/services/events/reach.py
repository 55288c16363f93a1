"""Whether the place where streams are kept answers, as one of its consumers knows it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, TypeVar

from runtime.services.away import AWAY, reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runtime.services.events.backend import Activity

logger = logging.getLogger("runtime.events")

T = TypeVar("T")

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0


class Reach:
    """Says once that the server is away, and once that it is back.

    Args:
        name: the subscription's, for the log.
        activity: where it is noted.
    """

    def __init__(self, name: str, activity: Activity) -> None:
        self._name = name
        self._activity = activity

    def away(self, error: BaseException) -> None:
        """It has not answered."""
        if self._activity.away is None:
            logger.warning("%s: Redis does not answer, waiting for it: %s", self._name, reason(error))
        self._activity.away = reason(error)

    def answered(self) -> None:
        """It has."""
        if self._activity.away is not None:
            logger.info("%s: Redis answers again", self._name)
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
