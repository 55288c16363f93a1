"""How many events a worker takes ahead of its lanes: as many as keep them busy for a moment."""

from __future__ import annotations

import time
from typing import Final

from runtime.services.events.seat import BATCH

AHEAD: Final = 0.02
"""Seconds of work that are taken ahead of the lanes, at the pace of the last moments."""
BATCHES_AHEAD: Final = 4


class Pace:
    """The events a second of the last moments."""

    def __init__(self) -> None:
        self._rate = 0.0
        self._looked = (0.0, 0)

    def ahead(self, handled: int, concurrency: int) -> int:
        """How many events to have at hand.

        Args:
            handled: how many were handled since the start.
            concurrency: the lanes, none of which shall stand idle.
        """
        now = time.monotonic()
        since, before = self._looked
        if now - since > AHEAD / 4:
            self._rate = (handled - before) / (now - since) if since else 0.0
            self._looked = (now, handled)
        return max(concurrency, min(BATCHES_AHEAD * BATCH, int(self._rate * AHEAD)))
