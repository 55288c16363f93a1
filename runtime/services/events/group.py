"""A subscription as a consumer group of a stream, wherever the stream is kept.

Every subscription has a group of its own, so that each gets every event; the workers of one subscription hold the
group's seats and share its events. An event counts as handled when its handler has returned. Until then it is pending
for one worker, and comes to another when that one's lease has run out. The number of tries is kept beside the stream,
so that an event that kills its worker runs out of them too.

One loop talks to the stream: it acknowledges what is done in the step that takes what comes next, while what it took
before is handled. With nothing to take, its next step waits at the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Final

import anyio

from runtime.services.away import AWAY, reason
from runtime.services.ending import end_tasks
from runtime.services.events.alarm import Alarm
from runtime.services.events.consuming import Activity
from runtime.services.events.handling import Handling
from runtime.services.events.pace import Pace
from runtime.services.events.seat import BATCH, MOST_AHEAD
from runtime.services.reach import FIRST_PAUSE, LONGEST_PAUSE, Reach

if TYPE_CHECKING:
    from runtime.services.events.consuming import Handler, Terms
    from runtime.services.events.seat import Seat, Taken

logger = logging.getLogger("runtime.events")

AGAIN: Final = 0.02
"""Seconds after which what waits is called off once more."""
HELD: Final = 0.02
"""Seconds after which it is looked whether another worker has taken what waits for it."""
LAST_WORD: Final = 2.0


class Group:
    """Reads and handles the events of one subscription; implements `Consumer`.

    Args:
        name: the subscription's.
        stream: the stream's.
        seat: this worker's place in the group.
        handler: what becomes of each event.
    """

    def __init__(self, name: str, stream: str, seat: Seat, terms: Terms, handler: Handler) -> None:
        self.partitions: frozenset[int] = frozenset()
        """Those whose events come here and nowhere else."""
        self._name = name
        self._seat = seat
        self._terms = terms
        self._activity = Activity()
        self._reach = Reach(name, self._activity, logger)
        self._handling = Handling(name, stream, seat, terms, handler, self._activity, self._reach, self._moved)
        self._loop: asyncio.Task[None] | None = None
        self._claim: asyncio.Task[Taken | None] | None = None
        """What waits for new events."""
        self._dry = False
        """The last call came back with few: the next one waits, where there is nothing."""
        self._stir = asyncio.Event()
        self._alarm = Alarm(self._stir.set)
        self._pace = Pace()
        self._token = 0
        self._sure = False
        self._due = 0.0

    # Life

    async def begin(self) -> None:
        if self._loop is not None:
            return
        self._token, self._sure, self._dry, self._claim = 0, False, False, None
        self._handling.begin()
        await self._seat.create(self._terms.start)
        self._loop = asyncio.create_task(self._serve(), name=f"read {self._name}")

    async def watch(self) -> None:
        if self._loop is not None:
            await asyncio.wait({self._loop})
            if not self._handling.ending:
                await self._loop

    async def end(self, drain: float) -> None:
        loop, self._loop = self._loop, None
        if loop is None:
            return
        self._handling.ending = True
        self._stir.set()
        try:
            await asyncio.wait({loop}, timeout=LAST_WORD)
            await end_tasks([loop] if self._claim is None else [loop, self._claim])
            self._alarm.set(None)
            self._handling.let_idle_go()
            with anyio.move_on_after(drain):
                while self._handling.hand.running:
                    self._stir.clear()
                    await self._stir.wait()
        finally:
            with anyio.CancelScope(shield=True):
                await self._leave(await self._handling.end())

    def resize(self, concurrency: int) -> None:
        self._handling.resize(concurrency)
        self._stir.set()

    @property
    def activity(self) -> Activity:
        self._activity.running = self._handling.hand.running
        return self._activity

    async def lag(self) -> int | None:
        return await self._seat.lag()

    async def _leave(self, uncounted: list[str]) -> None:
        """Leaves what is unhandled to whoever comes next, at once and without the try that was broken off."""
        try:
            with anyio.fail_after(LAST_WORD):
                await self._acknowledge()
                await self._seat.leave(uncounted)
        except (*AWAY, TimeoutError) as error:
            logger.warning("%s: could not take leave: %s", self._name, reason(error))
        await self._seat.close()

    # The loop that talks to the stream

    async def _serve(self) -> None:
        pause = FIRST_PAUSE
        while not self._handling.ending:
            try:
                if not self._sure or time.monotonic() >= self._due:
                    await self._sit()
                self._stir.clear()
                if await self._exchanged():
                    self._reach.answered()
                    pause = FIRST_PAUSE
                else:
                    await self._stirred()
            except AWAY as error:
                self._sure = self._dry = False
                await self._mend(error)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
        with contextlib.suppress(*AWAY):
            await self._come_back()

    async def _exchanged(self) -> bool:
        """Does what is to be done with the stream now; False where there is nothing."""
        claim = self._claim
        if claim is not None and claim.done():
            self._claim = None
            return self._given(claim.result(), BATCH)
        count = self._room() if claim is None else 0
        if count and not self._dry:
            return self._given(await self._exchange(count), count)
        if count:
            self._claim = asyncio.create_task(self._exchange(count, wait=True), name=f"wait for {self._name}")
            self._claim.add_done_callback(lambda _: self._stir.set())
        elif self._handling.done and not self._handling.hand.ready:
            await self._acknowledge()
            return True
        return False

    def _given(self, taken: Taken | None, many: int) -> bool:
        """Takes what a call has brought; False where it is too early for the next one.

        Args:
            many: with so many events more are likely to be there, and the next call does not wait.
        """
        if taken is None:
            return True
        self._dry = len(taken.entries) < many
        self._handling.add(taken)
        if taken.held:
            self._dry = False
            asyncio.get_running_loop().call_later(HELD, self._stir.set)
        return not taken.held

    def _moved(self) -> None:
        """Something was handled."""
        if self._handling.leaving:
            self._due = 0.0
        self._stir.set()

    async def _stirred(self) -> None:
        """Waits until there is something to do, or the lease is to be renewed."""
        self._alarm.set(self._due)
        await self._stir.wait()

    async def _come_back(self) -> None:
        """Ends the wait for new events, and takes what it has brought."""
        claim = self._claim
        if claim is None:
            return
        while not claim.done():
            self._seat.call_off()
            await asyncio.wait({claim}, timeout=AGAIN)  # it may not have begun to wait
        self._claim = None
        self._given(claim.result(), BATCH)

    async def _sit(self) -> None:
        """Renews the lease; where what is pending has changed, looks at all of it."""
        running = {work.partition for work in self._handling.hand if work.running} if self._handling.leaving else set()
        free = self._handling.leaving - running
        if free:
            await self._come_back()
            await self._acknowledge()
        now = time.monotonic()
        standing = await self._seat.sit(free)
        self._due = now + self._terms.reclaim / 4
        self.partitions = standing.partitions
        self._handling.leaving = (self._handling.leaving - free) & standing.partitions
        if standing.lost:
            logger.warning("%s: %d events are no longer kept and were not handled", self._name, standing.lost)
        if standing.token != self._token or not self._sure:
            self._token = standing.token
            await self._look()
        self._handling.lease_until = now + self._terms.reclaim  # not before it is known what is still its own
        if standing.surplus > 0 and not self._handling.leaving:
            self._give_up(standing.surplus, standing.partitions)
        self._handling.wake(len(self._handling.hand.ready))

    def _give_up(self, count: int, owned: frozenset[int]) -> None:
        """Chooses partitions for others, those first in which nothing runs: what runs comes to its end here."""
        running = {work.partition for work in self._handling.hand if work.running}
        self._handling.leaving = set(sorted(owned, key=lambda partition: partition in running)[:count])
        self._handling.hand.drop(lambda work: work.partition in self._handling.leaving)
        self._due = 0.0

    async def _look(self) -> None:
        """Takes up all that is pending for this seat and puts down what no longer is."""
        await self._come_back()
        await self._acknowledge()
        given = await self._seat.mine(self._token)
        self._sure = given is not None
        if given is None:
            return
        mine = {each.position for each in given}
        self._handling.hand.drop(lambda work: work.event.position not in mine)
        settled = set(self._handling.done)
        for position, stored, tries in given:
            if position not in self._handling.hand and position not in settled:
                self._handling.take((position, stored), tries + 1, again=True)

    async def _acknowledge(self) -> None:
        """Acknowledges what is done."""
        while self._handling.done:
            done = self._handling.handing_in()
            try:
                await self._seat.acknowledge(done)
            except BaseException:
                self._handling.hand_back(done)
                raise

    async def _exchange(self, count: int, *, wait: bool = False) -> Taken | None:
        """Acknowledges what is done and takes so many events; without an answer it is acknowledged again later."""
        done, token = self._handling.handing_in(), self._token
        try:
            taken = await self._seat.take(token, done, count, wait=wait)
        except BaseException:
            self._handling.hand_back(done)
            raise
        if taken is None and token == self._token:
            self._sure = False
        return taken

    async def _mend(self, error: BaseException) -> None:
        """Makes the group anew where the server has lost it: it begins again with all that is there."""
        if not self._seat.gone(error):
            self._reach.away(error)
            return
        logger.warning("%s: its place in the stream is gone, it begins again", self._name)
        try:
            await self._seat.create("beginning")
        except AWAY as again:
            self._reach.away(again)

    def _room(self) -> int:
        """How many events to take now: as many as keep the lanes busy for a moment, and not a few at a time."""
        ahead = self._pace.ahead(self._activity.handled, self._handling.concurrency)
        if self._handling.hand.parked > MOST_AHEAD:
            return 0
        room = ahead - self._handling.hand.running - len(self._handling.hand.ready)
        enough = min(BATCH, ahead // 2)
        self._handling.few = ahead - enough
        return min(BATCH, room) if room >= (enough if self._handling.hand.ready else 1) else 0
