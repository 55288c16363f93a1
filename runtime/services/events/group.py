"""A subscription as a consumer group of a stream, wherever the stream is kept.

Every subscription has a group of its own, so that each gets every event; the workers of one subscription hold the
group's seats and share its events. An event counts as handled when its handler has returned. Until then it is pending
for one worker, and comes to another when that one's lease has run out. The number of tries is kept beside the stream,
so that an event that kills its worker runs out of them too.

One loop talks to the stream: it acknowledges what is done in the step that takes what comes next, while the lanes
handle what it took before. An event that waits, for its next try or for the one before it with the same key, takes up
no lane: it holds up nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from contextvars import copy_context
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from runtime.services.away import AWAY, reason
from runtime.services.ending import end_tasks
from runtime.services.events.backend import BATCH, MOST_AHEAD, Activity, Entry, Handler, Seat, Taken, Terms
from runtime.services.events.envelope import unpack
from runtime.services.events.hand import Hand, Work
from runtime.services.events.lane import Lane, end_lanes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any


logger = logging.getLogger("runtime.events")

T = TypeVar("T")

AHEAD: Final = 0.02
"""Seconds of work that are taken ahead of the lanes, at the pace of the last moments."""
BATCHES_AHEAD: Final = 4
LIVES: Final = 2
"""How often an event may lose its worker beyond its tries."""
AGAIN: Final = 0.02
"""Seconds after which what waits is called off once more."""
HELD: Final = 0.02
"""Seconds after which it is looked whether another worker has taken what waits for it."""
LAST_WORD: Final = 2.0
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0


class Group:
    """Reads and handles the events of one subscription; implements `Consumer`.

    Args:
        name: the subscription's.
        stream: the stream's.
        seat: this worker's place in the group.
        handler: what becomes of each event.
    """

    def __init__(self, name: str, stream: str, seat: Seat, terms: Terms, handler: Handler) -> None:
        self._activity = Activity()
        self.partitions: frozenset[int] = frozenset()
        """Those whose events come here and nowhere else."""
        self._name = name
        self._stream = stream
        self._seat = seat
        self._terms = terms
        self._handler = handler
        self._concurrency = terms.concurrency
        self._hand = Hand(key_order=terms.key_order)
        self._done: list[str] = []
        self._lanes: list[Lane] = []
        self._context = copy_context()
        self._idle: list[asyncio.Future[None]] = []
        self._burying = asyncio.Lock()
        self._aside: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None
        self._claim: asyncio.Task[Taken | None] | None = None
        """What waits for new events."""
        self._claimed = 0
        self._dry = False
        """The last call came back with less than it asked for: the next one waits."""
        self._stir = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at: float | None = None
        self._token = 0
        self._sure = False
        self._leaving: set[int] = set()
        self._lease_until = self._due = 0.0
        self._few = 0
        """With no more than so many in hand there is room for others."""
        self._pace = 0.0
        self._looked = (0.0, 0)
        self._ending = False

    # Life

    async def begin(self) -> None:
        if self._loop is not None:
            return
        self._ending, self._token, self._sure, self._dry = False, 0, False, False
        self._hand, self._claim = Hand(key_order=self._terms.key_order), None
        await self._seat.create(self._terms.start)
        self._loop = asyncio.create_task(self._serve(), name=f"read {self._name}")

    async def watch(self) -> None:
        if self._loop is not None:
            await asyncio.wait({self._loop})
            if not self._ending:
                await self._loop

    async def end(self, drain: float) -> None:
        loop, self._loop = self._loop, None
        if loop is None:
            return
        self._ending = True
        self._stir.set()
        try:
            await asyncio.wait({loop}, timeout=LAST_WORD)
            await end_tasks([loop] if self._claim is None else [loop, self._claim])
            self._wake_at(None)
            self._wake(len(self._idle))
            with anyio.move_on_after(drain):
                while self._hand.running:
                    self._stir.clear()
                    await self._stir.wait()
        finally:
            with anyio.CancelScope(shield=True):
                await end_lanes(list(self._lanes))
                await end_tasks(self._aside)
                begun = [work for work in self._hand if work.running or not work.again]
                await self._leave([work.event.position for work in begun if work.running or work.tries == 1])

    def resize(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self._wake(concurrency)
        self._stir.set()

    @property
    def activity(self) -> Activity:
        self._activity.running = self._hand.running
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
        while not self._ending:
            try:
                if not self._sure or time.monotonic() >= self._due:
                    await self._sit()
                self._stir.clear()
                if await self._exchanged():
                    self._reached()
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
            return self._given(claim.result(), self._claimed)
        count = self._room() if claim is None else 0
        if count and not self._dry:
            return self._given(await self._exchange(count), count)
        if count:
            self._claimed = count
            self._claim = asyncio.create_task(self._exchange(count, wait=True), name=f"wait for {self._name}")
            self._claim.add_done_callback(lambda _: self._stir.set())
        elif self._done and not self._hand.ready:
            await self._acknowledge()
            return True
        return False

    def _given(self, taken: Taken | None, count: int) -> bool:
        """Takes what a call has brought; False where it is too early for the next one."""
        if taken is None:
            return True
        self._dry = len(taken.entries) < count
        self._add(taken)
        if taken.held:
            self._dry = False
            asyncio.get_running_loop().call_later(HELD, self._stir.set)
        return not taken.held

    async def _stirred(self) -> None:
        """Waits until there is something to do, or the lease is to be renewed."""
        if self._alarm_at != self._due:
            self._wake_at(self._due)
        await self._stir.wait()

    def _wake_at(self, due: float | None) -> None:
        """Sets the one timer that wakes the loop; None for never."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._alarm_at = None, due
        if due is not None:
            self._alarm = asyncio.get_running_loop().call_later(max(0.0, due - time.monotonic()), self._alarmed)

    def _alarmed(self) -> None:
        self._alarm_at = None  # it may be a little early, and is set again then
        self._stir.set()

    async def _come_back(self) -> None:
        """Ends the wait for new events, and takes what it has brought."""
        claim = self._claim
        if claim is None:
            return
        while not claim.done():
            self._seat.call_off()
            await asyncio.wait({claim}, timeout=AGAIN)  # it may not have begun to wait
        self._claim = None
        self._given(claim.result(), self._claimed)

    async def _sit(self) -> None:
        """Renews the lease; where what is pending has changed, looks at all of it."""
        running = {work.partition for work in self._hand if work.running} if self._leaving else set()
        free = self._leaving - running
        if free:
            await self._come_back()
            await self._acknowledge()
        now = time.monotonic()
        standing = await self._seat.sit(free)
        self._lease_until, self._due = now + self._terms.reclaim, now + self._terms.reclaim / 4
        self.partitions = standing.partitions
        self._leaving = (self._leaving - free) & standing.partitions
        if standing.lost:
            logger.warning("%s: %d events are no longer kept and were not handled", self._name, standing.lost)
        if standing.token != self._token or not self._sure:
            self._token = standing.token
            await self._look()
        if standing.surplus > 0 and not self._leaving:
            self._give_up(standing.surplus, standing.partitions)
        self._wake(len(self._hand.ready))

    def _give_up(self, count: int, owned: frozenset[int]) -> None:
        """Chooses partitions for others, those first in which nothing runs: what runs comes to its end here."""
        running = {work.partition for work in self._hand if work.running}
        self._leaving = set(sorted(owned, key=lambda partition: partition in running)[:count])
        self._hand.drop(lambda work: work.partition in self._leaving)
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
        self._hand.drop(lambda work: work.event.position not in mine)
        settled = set(self._done)
        for position, stored, tries in given:
            if position not in self._hand and position not in settled:
                self._take((position, stored), tries + 1, again=True)

    async def _acknowledge(self) -> None:
        """Acknowledges what is done."""
        while self._done:
            done = self._handing_in()
            try:
                await self._seat.acknowledge(done)
            except BaseException:
                self._done = done + self._done
                raise

    async def _exchange(self, count: int, *, wait: bool = False) -> Taken | None:
        """Acknowledges what is done and takes so many events; without an answer it is acknowledged again later."""
        done, token = self._handing_in(), self._token
        try:
            taken = await self._seat.take(token, done, count, wait=wait)
        except BaseException:
            self._done = done + self._done
            raise
        if taken is None and token == self._token:
            self._sure = False
        return taken

    def _handing_in(self) -> list[str]:
        done, self._done = self._done[:MOST_AHEAD], self._done[MOST_AHEAD:]
        return done

    async def _mend(self, error: BaseException) -> None:
        """Makes the group anew where the server has lost it: it begins again with all that is there."""
        if not self._seat.gone(error):
            self._away(error)
            return
        logger.warning("%s: its place in the stream is gone, it begins again", self._name)
        try:
            await self._seat.create("beginning")
        except AWAY as again:
            self._away(again)

    def _room(self) -> int:
        """How many events to take now: as many as keep the lanes busy for a moment, and not a few at a time."""
        now = time.monotonic()
        since, handled = self._looked
        if now - since > AHEAD / 4:
            self._pace = (self._activity.handled - handled) / (now - since) if since else 0.0
            self._looked = (now, self._activity.handled)
        if self._hand.parked > MOST_AHEAD:
            return 0
        ahead = max(self._concurrency, min(BATCHES_AHEAD * BATCH, int(self._pace * AHEAD)))
        room = ahead - self._hand.running - len(self._hand.ready)
        enough = min(BATCH, ahead // 2)
        self._few = ahead - enough
        return min(BATCH, room) if room >= (enough if self._hand.ready else 1) else 0

    # Handling

    def _add(self, taken: Taken) -> None:
        if taken.missed:
            self._activity.missed += taken.missed
            about = {"subscription": self._name, "stream": self._stream, "missed": taken.missed}
            logger.error("%s was too slow: %d events were dropped before it", self._name, taken.missed, extra=about)
        for entry in taken.entries:
            if entry[0] not in self._hand:
                self._take(entry, 1, again=False)
        self._wake(len(self._hand.ready))

    def _take(self, entry: Entry, tries: int, *, again: bool) -> None:
        position, stored = entry
        if stored is None:
            logger.warning("%s: an event is no longer kept and was not handled: %s", self._name, position)
            self._done.append(position)
            return
        try:
            event = unpack(stored, self._stream, position)
        except ValueError as error:
            self._beside(self._bury(entry, str(error), 0))
            return
        wants = self._handler.wants
        if wants is not None and not wants(event):
            self._done.append(position)
            return
        work = Work(event, stored, tries, again)
        if not self._leaving or work.partition not in self._leaving:
            self._hand.add(work)

    def _wake(self, count: int) -> None:
        """Lets lanes begin what is ready."""
        for _ in range(min(count, len(self._idle))):
            waiting = self._idle.pop()
            if not waiting.done():
                waiting.set_result(None)
                count -= 1
        while count > 0 and len(self._lanes) < self._concurrency and len(self._hand.ready) > 0 and not self._ending:
            self._lanes.append(self._lane())
            count -= 1

    def _lane(self) -> Lane:
        return Lane(
            self._handler, self._following, self._admit, self._wait, self._settle, self._lane_ended, self._context
        )

    def _lane_ended(self, lane: Lane) -> None:
        if lane in self._lanes:
            self._lanes.remove(lane)
        self._wake(len(self._hand.ready))

    def _following(self) -> Work | None:
        """The next event for a lane."""
        hand = self._hand
        if not hand.ready or self._ending or len(self._lanes) > self._concurrency:
            return None
        if time.monotonic() > self._lease_until:  # somebody else may have taken over
            self._stir.set()
            return None
        return hand.begin()

    async def _wait(self) -> bool:
        """Waits until there may be an event for a lane; False where there is a lane too many, or the end."""
        if self._ending or len(self._lanes) > self._concurrency:
            return False
        waiting = asyncio.get_running_loop().create_future()
        self._idle.append(waiting)
        await waiting
        return True

    async def _admit(self, work: Work) -> bool:
        """Writes down that a further try of an event begins, unless it is another worker's or out of tries."""
        if work.tries > self._terms.attempts + LIVES:
            self._hand.pause(work)
            await self._spent(work, "its worker died while it was handled")
            return False
        if await self._until_reached(lambda: self._seat.count(work.event.position, work.tries)):
            return True
        self._hand.remove(work)
        return False

    def _settle(self, work: Work, failure: BaseException | None) -> None:
        """A try has ended."""
        hand = self._hand
        if failure is None:
            hand.remove(work)
            self._done.append(work.event.position)
            self._activity.handled += 1
        else:
            hand.pause(work)
            self._activity.failed += 1
            sentence = self._handler.told(work.event, failure)
            spent = work.tries >= self._terms.attempts
            self._beside(self._spent(work, sentence) if spent else self._again(work))
        if self._leaving:
            self._due = 0.0
        if not hand.ready or len(hand.ready) + hand.running <= self._few or self._leaving or self._ending:
            self._stir.set()

    async def _again(self, work: Work) -> None:
        """Has an event tried again after its pause."""
        await asyncio.sleep(self._terms.pause(work.tries))
        if not work.dropped:
            work.tries += 1
            work.again = True
            self._hand.ready.append(work)
            self._wake(1)

    async def _spent(self, work: Work, error: str) -> None:
        """Ends an event that has had its tries."""
        await self._bury((work.event.position, work.stored), error, min(work.tries, self._terms.attempts))
        self._hand.remove(work)
        self._wake(1)
        self._stir.set()

    async def _bury(self, entry: Entry, error: str, tries: int) -> None:
        keep = self._terms.dead_letter
        async with self._burying:  # one after another, as they ended
            buried = await self._until_reached(lambda: self._seat.bury(entry, error, tries, keep=keep))
        if buried:
            self._activity.dead += 1
            about = {"subscription": self._name, "stream": self._stream, "position": entry[0], "tries": tries}
            logger.error("%s: the event %s goes to the dead letters: %s", self._name, entry[0], error, extra=about)

    # When the server is away

    def _beside(self, step: Coroutine[Any, Any, None]) -> None:
        """Does what follows a failed try, while others go on."""
        task = asyncio.create_task(step)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    async def _until_reached(self, step: Callable[[], Awaitable[T]]) -> T:
        """Repeats a step until the server has answered."""
        pause = FIRST_PAUSE
        while True:
            try:
                return await step()
            except AWAY as error:
                self._away(error)
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    def _away(self, error: BaseException) -> None:
        if self._activity.away is None:
            logger.warning("%s: Redis does not answer, waiting for it: %s", self._name, reason(error))
        self._activity.away = reason(error)

    def _reached(self) -> None:
        if self._activity.away is not None:
            logger.info("%s: Redis answers again", self._name)
        self._activity.away = None
