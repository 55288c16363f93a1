"""The time of day, as schedules see it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Protocol

import anyio

LOOK: Final = 30.0
"""Seconds after which the wall clock is looked at again: it may have been set, or the machine may have slept."""


class Clock(Protocol):
    """Tells the time and waits for it."""

    def now(self) -> datetime:
        """UTC."""
        ...

    async def until(self, moment: datetime) -> None:
        """Returns when it is that late, or when the clock is found to have been set back."""
        ...


class WallClock:
    """The machine's own clock.

    Args:
        look: seconds, see `LOOK`.
    """

    def __init__(self, look: float = LOOK) -> None:
        self._look = look

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def until(self, moment: datetime) -> None:
        before = now = self.now()
        while before <= now < moment:
            await anyio.sleep(min((moment - now).total_seconds(), self._look))
            before, now = now, self.now()
