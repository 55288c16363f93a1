"""A SAQ worker that loses no job: its life, its signs of life, and what it takes over from workers that are gone."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Final

import anyio
from saq.types import Context
from saq.worker import Worker

from runtime.services.away import AWAY, reason
from runtime.services.ending import end_tasks
from runtime.services.jobs.adapters.exchanging import CALLS, Exchanging
from runtime.services.jobs.adapters.holding import MOST_AT_ONCE, Holding
from runtime.services.names import PROCESS
from runtime.services.reach import LONGEST_PAUSE, Reach

if TYPE_CHECKING:
    from runtime.services.jobs.adapters.lease import Leases
    from runtime.services.jobs.adapters.saq_queue import KeptQueue
    from runtime.services.jobs.claiming import Runner
    from runtime.services.jobs.limits import Limits

logger = logging.getLogger("runtime.jobs")

LAST_WORD: Final = 2.0
"""Seconds that the server has to take jobs back while a worker stops."""
MARKED_AFTER: Final = 0.25
"""Seconds after which a running job's record says that it runs; most are over by then, and spare the server that."""


class KeepingWorker(Worker[Context]):
    """Claims the jobs of one queue and hands them to a runner; implements `Claimer`.

    Args:
        queue: where the jobs are.
        limits: how it treats them.
        concurrency: how many run at once.
        runner: runs them.
        leases: gives this worker's signs of life.
        instance: see `SaqBackend`.
    """

    SIGNALS = []  # the kernel handles signals; two workers in a loop would take each other's

    def __init__(
        self,
        queue: KeptQueue,
        limits: Limits,
        concurrency: int,
        runner: Runner,
        leases: Leases,
        *,
        instance: str = "",
    ) -> None:
        super().__init__(queue, [], concurrency=concurrency)
        self.kept = queue
        self.holding = Holding(queue, limits, runner)
        self.activity = self.holding.activity
        self._reach = Reach(queue.name, self.activity, logger)
        self._leases = leases
        self._instance = f"{instance}:" if instance else ""
        self._mine = f"{instance}:{PROCESS}:"
        self._loops: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        if self._loops:
            return
        self.id = f"{self._mine}{secrets.token_hex(4)}"
        self.event = asyncio.Event()
        self.holding.begin()
        self.exchanging = Exchanging(self.id, self.concurrency, self.holding, self._reach)
        self._leases.keep(self.kept.namespace("workers"), self.id, self.holding.limits.lease)
        loops = [self._tick, self._mark_long, self.exchanging.stand_by, *[self.exchanging.exchange] * CALLS]
        self._loops = [asyncio.create_task(loop(), name=f"{loop.__name__} {self.kept.name}") for loop in loops]

    async def watch(self) -> None:
        if not self._loops:
            return
        done, _ = await asyncio.wait(self._loops, return_when=asyncio.FIRST_COMPLETED)
        if not self.holding.ending:
            for loop in done:
                await loop

    async def end(self, drain: float) -> None:
        self.holding.ending = True  # from here on nothing more is claimed
        self.event.set()
        loops, self._loops = self._loops, []
        if not loops:
            return
        self.exchanging.call_off()
        try:
            await self._drained(drain)
            self.holding.tell_all("drain")
            await self._drained(LAST_WORD)
        finally:
            await end_tasks(loops)
            self.exchanging.stop_looking()
            await self._leave()
            self.holding.clear()

    async def start(self) -> None:
        """SAQ's own way to run a worker: until it is stopped."""
        await self.begin()
        await self.watch()

    async def stop(self) -> None:
        """SAQ's own way to stop a worker: at once."""
        await self.end(0.0)

    def resize(self, concurrency: int, limits: Limits) -> None:
        self.concurrency = concurrency
        self.holding.limits = limits
        if self._loops:
            self.exchanging.concurrency = concurrency
            self.exchanging.call_off()
            self.exchanging.look_now()

    async def _drained(self, patience: float) -> None:
        """Waits until nothing is held any more, and no claim is under way."""
        holding = self.holding
        try:
            async with asyncio.timeout(patience):
                while holding or (self.exchanging.asked and self.activity.away is None):
                    holding.free.clear()
                    holding.look.set()
                    await holding.free.wait()
        except TimeoutError:
            pass

    async def _leave(self) -> None:
        """Hands in what is left, gives back what still runs, as far as the server can be reached."""
        self._leases.drop(self.kept.namespace("workers"), self.id)
        try:
            with anyio.fail_after(LAST_WORD):
                self.holding.give_back()
                while self.holding.outcomes:
                    await self.exchanging.hand_over(0)
                await self.kept.leave(self.id)
        except AWAY as error:
            logger.warning(
                "%s: could not give its jobs back: %s; they run again when the lease has expired",
                self.kept.name,
                reason(error),
            )
        await self.exchanging.close()

    async def _mark_long(self) -> None:
        """Lets the records of jobs that run for a while say so."""
        while True:
            await self.holding.busy.wait()
            await asyncio.sleep(MARKED_AFTER)
            try:
                await self.holding.mark_long(MARKED_AFTER)
            except AWAY as error:
                self.exchanging.away(error)
                await asyncio.sleep(LONGEST_PAUSE)

    async def _tick(self) -> None:
        """Shows that this worker is alive, hears what its jobs are told, takes over from workers that are gone."""
        usual = min(LONGEST_PAUSE, self.holding.limits.lease / 3)
        while True:
            try:
                ticked = await self.kept.tick(self.id, self._instance, self._mine, self.holding.limits, MOST_AT_ONCE)
            except AWAY as error:
                self.exchanging.away(error)
                pause = usual
            else:
                self._reach.answered()
                for id_, what in ticked.signals.items():
                    self.holding.tell(id_, what)
                for id_, stored, why in ticked.mine:
                    self.holding.bury(id_, f"{self.id}#0", stored, why)
                if ticked.returned:
                    self.activity.returned += ticked.returned
                    logger.warning("%s: took over %d jobs of workers that are gone", self.kept.name, ticked.returned)
                pause = 0.0 if ticked.more else usual
            await asyncio.sleep(pause)
