"""Progress that arrives faster than it can be stored: the latest counts, and none holds the job up."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from runtime.services.ending import end_tasks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

logger = logging.getLogger("runtime.jobs")

LAST_WORD: Final = 1.0


class Progress:
    """Tells what a job says of its progress, one at a time; what comes meanwhile replaces what has not been told.

    Args:
        tell: stores it; its failure costs the progress, not the job.
        about: of the job, for the log.
    """

    def __init__(self, tell: Callable[[float, str], Awaitable[None]], about: Mapping[str, Any]) -> None:
        self._tell = tell
        self._about = about
        self._latest: tuple[float, str] | None = None
        self._telling: asyncio.Task[None] | None = None

    def note(self, fraction: float, message: str) -> None:
        self._latest = (fraction, message)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._run(), name="progress")

    async def settle(self) -> None:
        """Waits a moment for what is still to be told."""
        if self._telling is not None:
            await asyncio.wait({self._telling}, timeout=LAST_WORD)

    async def end(self) -> None:
        """Tells no more."""
        if self._telling is not None:
            await end_tasks([self._telling])

    async def _run(self) -> None:
        while self._latest is not None:
            (fraction, message), self._latest = self._latest, None
            try:
                await self._tell(fraction, message)
            except Exception as error:  # noqa: BLE001 - whatever stores it may raise
                logger.warning("its progress is not stored: %s", error, extra=dict(self._about))
