"""What becomes of the events that a worker was given: lanes handle them, failed ones have further tries or are buried.

An event that waits, for its next try or for the one before it with the same key, takes up no lane: it holds up nobody
else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextvars import copy_context
from typing import TYPE_CHECKING, Final

from runtime.services.ending import end_tasks
from runtime.services.events.envelope import unpack
from runtime.services.events.hand import Hand, Work
from runtime.services.events.lane import Lane, end_lanes
from runtime.services.events.seat import MOST_AHEAD

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from runtime.services.events.consuming import Activity, Handler, Terms
    from runtime.services.events.seat import Entry, Seat, Taken
    from runtime.services.reach import Reach

logger = logging.getLogger("runtime.events")

LIVES: Final = 2
"""How often an event may lose its worker beyond its tries."""


class Handling:
    """Handles the events of one worker.

    Args:
        name: the subscription's.
        stream: the stream's.
        seat: this worker's place in the group.
        handler: what becomes of each event.
        activity: counts.
        reach: whether the server answers.
        stir: called when there may be room for more events, or something to acknowledge.
    """

    def __init__(
        self,
        name: str,
        stream: str,
        seat: Seat,
        terms: Terms,
        handler: Handler,
        activity: Activity,
        reach: Reach,
        stir: Callable[[], None],
    ) -> None:
        self.activity = activity
        self.hand = Hand(key_order=terms.key_order)
        self.done: list[str] = []
        """Positions that are to be acknowledged."""
        self.concurrency = terms.concurrency
        self.leaving: set[int] = set()
        """Partitions that are going to be another worker's: nothing more of them is begun."""
        self.lease_until = 0.0
        """By the monotonic clock; then nothing is begun."""
        self.few = 0
        """With no more than so many in hand there is room for others."""
        self.ending = False
        self._name = name
        self._stream = stream
        self._seat = seat
        self._terms = terms
        self._handler = handler
        self._reach = reach
        self._stir = stir
        self._lanes: list[Lane] = []
        self._context = copy_context()
        self._idle: list[asyncio.Future[None]] = []
        self._burying = asyncio.Lock()
        self._aside: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Begins with empty hands."""
        self.ending = False
        self.hand = Hand(key_order=self._terms.key_order)

    def resize(self, concurrency: int) -> None:
        """Changes how many events are handled at once."""
        self.concurrency = concurrency
        self.wake(concurrency)

    def let_idle_go(self) -> None:
        """Ends the lanes that wait for an event."""
        self.wake(len(self._idle))

    def handing_in(self) -> list[str]:
        """Positions that are acknowledged now."""
        done, self.done = self.done[:MOST_AHEAD], self.done[MOST_AHEAD:]
        return done

    def hand_back(self, done: list[str]) -> None:
        """They could not be, or nobody knows."""
        self.done = done + self.done

    async def end(self) -> list[str]:
        """Breaks off what still runs.

        Returns:
            The positions of the events whose last try was not begun or was broken off.
        """
        await end_lanes(list(self._lanes))
        await end_tasks(self._aside)
        begun = [work for work in self.hand if work.running or not work.again]
        return [work.event.position for work in begun if work.running or work.tries == 1]

    def add(self, taken: Taken) -> None:
        """Has events handled that the seat was given for the first time."""
        if taken.missed:
            self.activity.missed += taken.missed
            about = {"subscription": self._name, "stream": self._stream, "missed": taken.missed}
            logger.error("%s was too slow: %d events were dropped before it", self._name, taken.missed, extra=about)
        for entry in taken.entries:
            if entry[0] not in self.hand:
                self.take(entry, 1, again=False)
        self.wake(len(self.hand.ready))

    def take(self, entry: Entry, tries: int, *, again: bool) -> None:
        """Takes an event in hand, to be begun by the next `wake`.

        Args:
            tries: the number of its coming try.
            again: see `Work`.
        """
        position, stored = entry
        if stored is None:
            logger.warning("%s: an event is no longer kept and was not handled: %s", self._name, position)
            self.done.append(position)
            return
        try:
            event = unpack(stored, self._stream, position)
        except ValueError as error:
            self._beside(self._bury(entry, str(error), 0))
            return
        wants = self._handler.wants
        if wants is not None and not wants(event):
            self.done.append(position)
            return
        work = Work(event, stored, tries, again)
        if not self.leaving or work.partition not in self.leaving:
            self.hand.add(work)

    def wake(self, count: int) -> None:
        """Lets lanes begin what is ready."""
        for _ in range(min(count, len(self._idle))):
            waiting = self._idle.pop()
            if not waiting.done():
                waiting.set_result(None)
                count -= 1
        while count > 0 and len(self._lanes) < self.concurrency and len(self.hand.ready) > 0 and not self.ending:
            self._lanes.append(self._lane())
            count -= 1

    def _lane(self) -> Lane:
        return Lane(
            self._handler, self._following, self._admit, self._wait, self._settle, self._lane_ended, self._context
        )

    def _lane_ended(self, lane: Lane) -> None:
        if lane in self._lanes:
            self._lanes.remove(lane)
        self.wake(len(self.hand.ready))

    def _following(self) -> Work | None:
        """The next event for a lane."""
        hand = self.hand
        if not hand.ready or self.ending or len(self._lanes) > self.concurrency:
            return None
        if time.monotonic() > self.lease_until:  # somebody else may have taken over
            self._stir()
            return None
        return hand.begin()

    async def _wait(self) -> bool:
        """Waits until there may be an event for a lane; False where there is a lane too many, or the end."""
        if self.ending or len(self._lanes) > self.concurrency:
            return False
        waiting = asyncio.get_running_loop().create_future()
        self._idle.append(waiting)
        await waiting
        return True

    async def _admit(self, work: Work) -> bool:
        """Writes down that a further try of an event begins, unless it is another worker's or out of tries."""
        if work.tries > self._terms.attempts + LIVES:
            self.hand.pause(work)
            await self._spent(work, "its worker died while it was handled")
            return False
        if not await self._reach.until(lambda: self._seat.count(work.event.position, work.tries)):
            self.hand.remove(work)
            return False
        if time.monotonic() > self.lease_until:  # the answer is old: somebody else may have taken over since
            self.hand.pause(work)
            self.hand.ready.appendleft(work)
            self._stir()
            return False
        return True

    def _settle(self, work: Work, failure: BaseException | None) -> None:
        """A try has ended."""
        hand = self.hand
        if failure is None:
            hand.remove(work)
            self.done.append(work.event.position)
            self.activity.handled += 1
        else:
            hand.pause(work)
            self.activity.failed += 1
            sentence = self._handler.told(work.event, failure)
            spent = work.tries >= self._terms.attempts
            self._beside(self._spent(work, sentence) if spent else self._again(work))
        if not hand.ready or len(hand.ready) + hand.running <= self.few or self.leaving or self.ending:
            self._stir()

    async def _again(self, work: Work) -> None:
        """Has an event tried again after its pause."""
        await asyncio.sleep(self._terms.pause(work.tries))
        if not work.dropped:
            work.tries += 1
            work.again = True
            self.hand.ready.append(work)
            self.wake(1)

    async def _spent(self, work: Work, error: str) -> None:
        """Ends an event that has had its tries."""
        await self._bury((work.event.position, work.stored), error, min(work.tries, self._terms.attempts))
        self.hand.remove(work)
        self.wake(1)
        self._stir()

    async def _bury(self, entry: Entry, error: str, tries: int) -> None:
        keep = self._terms.dead_letter
        async with self._burying:  # one after another, as they ended
            buried = await self._reach.until(lambda: self._seat.bury(entry, error, tries, keep=keep))
        if buried:
            self.activity.dead += 1
            about = {"subscription": self._name, "stream": self._stream, "position": entry[0], "tries": tries}
            logger.error("%s: the event %s goes to the dead letters: %s", self._name, entry[0], error, extra=about)

    def _beside(self, step: Coroutine[Any, Any, None]) -> None:
        """Does what follows a failed try, while others go on."""
        task = asyncio.create_task(step)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)
