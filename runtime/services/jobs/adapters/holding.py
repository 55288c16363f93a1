"""What a worker holds: the jobs that it has claimed, until what their tries came to is with the server."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from runtime.services.jobs.adapters.held import Held, closing
from runtime.services.jobs.adapters.record import Record, decoded, encoded, milliseconds
from runtime.services.jobs.claiming import Activity, Ending, Outcome, Runner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.jobs.adapters.saq_queue import Exchanged, KeptQueue
    from runtime.services.jobs.limits import Limits

logger = logging.getLogger("runtime.jobs")

Ended = tuple[Held, tuple[Any, ...]]
"""A job whose try is over, and what is handed in of it; see `lua/exchange.lua`."""

MOST_AT_ONCE: Final = 500
"""Outcomes of one exchange, jobs that are marked or taken over at a time."""


class Holding:
    """The jobs of a queue that a worker holds; implements `Keeper`.

    Args:
        queue: where they come from.
        limits: how it treats them.
        runner: runs them.
    """

    def __init__(self, queue: KeptQueue, limits: Limits, runner: Runner) -> None:
        self.kept = queue
        self.limits = limits
        self.activity = Activity()
        self.loop: asyncio.AbstractEventLoop
        self.ending = False
        """Whether no more is begun: what was claimed all the same is given back."""
        self.outcomes: list[Ended] = []
        """Those that are not yet with the server, nor on their way."""
        self.look = asyncio.Event()
        """There are outcomes to hand in, or there may be something to claim."""
        self.free = asyncio.Event()
        """Something is no longer held, or a call has come back."""
        self.busy = asyncio.Event()
        """Set while something is held."""
        self._runner = runner
        self._held: dict[str, Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def begin(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ending = False

    def clear(self) -> None:
        """Forgets everything."""
        self._held.clear()
        self.outcomes.clear()
        self.busy.clear()
        self.activity.running = 0

    # Taking up

    def take(self, id_: str, token: str, stored: bytes | None, broken: str | None) -> None:
        """Begins a job that a claim has brought.

        Args:
            token: of the claim.
            stored: its record.
            broken: the child that has failed, and it with that one; None where there is none.
        """
        known = self._held.get(id_)
        if known is not None and known.token == token:
            return
        record = decoded(stored)
        if record is None or record.status in ("complete", "failed", "aborted"):
            logger.error(
                "%s: its record cannot be run and is left out", id_, extra={"job": id_, "queue": self.kept.name}
            )
            self._drop(id_, token)
            return
        held = Held(id_, token, record, self)
        self._held[id_] = held
        self.activity.running = len(self._held)
        self.busy.set()
        if self.ending:
            held.settle(Outcome("back"))
        elif broken is not None:
            held.attempt -= 1  # it does not begin
            held.settle(Outcome("failed", error=f"the job {broken}, for which it waited, has not completed"))
        else:
            self._runner.start(held)

    def bury(self, id_: str, token: str, stored: bytes, why: str) -> None:
        """Ends a job whose worker is gone and that shall not run again.

        Args:
            why: `cancel`, or how often it has lost its worker.
        """
        if (known := self._held.get(id_)) is not None and known.token == token:
            return
        record = decoded(stored)
        if record is None:
            self._drop(id_, token)
            return
        held = Held(id_, token, record, self)
        held.record.started = 0
        self._held[id_] = held
        if why == "cancel":
            held.settle(Outcome("cancelled"))
            return
        held.attempt -= 1  # what it was in does not count: it did not end
        error = f"its worker died {why} times while it ran"
        logger.error("%s: %s", id_, error, extra={"job": id_, "queue": self.kept.name})
        held.settle(Outcome("failed", error=error))

    def _drop(self, id_: str, token: str) -> None:
        """Forgets what this worker holds and cannot run."""
        held = Held(id_, token, Record(), self)
        held.settled = True
        self._held[id_] = held
        self.outcomes.append((held, (id_, token, "gone", "", 0, "")))

    # Handing in

    def settled(self, held: Held, outcome: Outcome) -> None:
        """Takes what a try came to; it is handed in with the next call."""
        counts = self.activity.counts
        counts[outcome.status] = counts.get(outcome.status, 0) + 1
        if self._held.get(held.id) is held:
            self.outcomes.append((held, closing(held, outcome, self.limits)))
            self.look.set()

    def handing_in(self) -> list[Ended]:
        """Outcomes for one call, the oldest first; `handed_in` or `hand_back` follows."""
        outcomes, self.outcomes = self.outcomes[:MOST_AT_ONCE], self.outcomes[MOST_AT_ONCE:]
        return outcomes

    def hand_back(self, outcomes: Sequence[Ended]) -> None:
        """They did not reach the server, for certain or perhaps."""
        self.outcomes = [*outcomes, *self.outcomes]

    def handed_in(self, outcomes: Sequence[Ended], answer: Exchanged) -> None:
        """They did: lets their jobs go, but for those that the server wants cancelled."""
        lost, told = set(answer.lost), set(answer.told)
        for held, _ in outcomes:
            if held.id in told:
                self.outcomes.append((held, closing(held, Outcome("cancelled"), self.limits)))
            else:
                self._let_go(held)
                if held.id in lost and not self.ending:  # while it ends, a call may have been cut short
                    logger.warning("%s: its outcome came too late, another worker has it", held.id)

    def give_back(self) -> None:
        """Lets the tries that still run count as not begun."""
        for held in self._held.values():
            if not held.settled:
                held.settle(Outcome("back"))

    def _let_go(self, held: Held) -> None:
        if self._held.get(held.id) is held:
            del self._held[held.id]
            if not self._held:
                self.busy.clear()
            self.activity.running = len(self._held)
            self.free.set()

    # While they run

    async def mark(self, jobs: Sequence[Held]) -> None:
        """Stores the records of running jobs, and learns what they are told."""
        told = await self.kept.mark([(held.id, held.token, encoded(held.record)) for held in jobs])
        for held, what in zip(jobs, told, strict=True):
            held.marked = True
            self._tell(held, what)

    async def mark_long(self, seconds: float) -> None:
        """Marks those that have run for so long and are not marked yet."""
        before = milliseconds() - seconds * 1000
        long = [
            held
            for held in self._held.values()
            if not held.marked and not held.settled and held.record.started <= before
        ]
        if long:
            await self.mark(long[:MOST_AT_ONCE])

    def tell(self, id_: str, what: str) -> None:
        """Tells a job, where it is still held, what the server has for it: `cancel`, `pause`, `lost`."""
        if (held := self._held.get(id_)) is not None:
            self._tell(held, what)

    def tell_all(self, ending: Ending) -> None:
        """Tells every job to end."""
        for held in list(self._held.values()):
            self._told(held, ending)

    def _tell(self, held: Held, what: str | None) -> None:
        if what == "cancel":
            self._told(held, "cancel")
        elif what == "pause":
            self._told(held, "pause")
        elif what == "lost" and self._held.get(held.id) is held and not held.settled:
            logger.warning("%s: this worker was taken for dead, another one runs it", held.id)
            self._let_go(held)
            self._told(held, "cancel")

    def _told(self, held: Held, ending: Ending) -> None:
        held.told = True
        self._runner.end(held, ending)
