"""What an instance holds of one fund, to spend without asking the database for each call."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.services.ai.funds import Fund


class Purse:
    """An instance's part of a fund, in nano-dollars.

    The database knows `held`, which nobody else can spend; of it, some is promised to running calls and some is spent
    by ended ones and not yet written. What is left may be promised at once. All of it is void once `valid_until` has
    passed: then the database may have given it to others.
    """

    __slots__ = ("fund", "held", "promised", "share", "spent", "stale", "used", "valid_until")

    def __init__(self, fund: Fund) -> None:
        self.fund = fund
        self.held = 0
        self.promised = 0
        self.spent = 0
        self.share = 0
        """What may stay here while nobody uses it: little, and nothing where the fund runs low."""
        self.valid_until = 0.0
        """In seconds of `time.monotonic`."""
        self.used = time.monotonic()
        self.stale = False
        """What the database holds for us may differ from `held`: a commit was not answered."""

    @property
    def free(self) -> int:
        """What may be promised; below zero where calls did cost more than was promised."""
        return self.held - self.promised - self.spent

    @property
    def empty(self) -> bool:
        """Whether nothing is left to keep in mind."""
        return not (self.held or self.promised or self.spent or self.stale)
