"""A subscription as a consumer group of a stream, wherever the stream is kept.

Every subscription has a group of its own, so that each gets every event; the workers of one subscription are the
group's consumers and share its events. An event counts as handled when its handler has returned. Until then it is
pending and belongs to one worker, which gives a sign of life for it. The number of tries is kept beside the stream,
so that an event that kills its worker runs out of them too.

An event that waits, for its next try or for the one before it with the same key, takes up no place among those that
are handled: it holds up nobody else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from runtime.services.away import AWAY, reason
from runtime.services.ending import end_tasks
from runtime.services.events.backend import BATCH, LONGEST_WAIT, Activity, Entry, Handle, Pending, Terms
from runtime.services.events.envelope import unpack
from runtime.services.function import GRACE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from runtime.services.events.ports import Event

logger = logging.getLogger("runtime.events")

T = TypeVar("T")

MOST_WAITING: Final = 1_000
"""Events in hand that wait for something; with more than that, no new ones are read."""
LIVES: Final = 2
"""How often an event may lose its worker beyond its tries."""
LAST_WORD: Final = 2.0
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0


class Group:
    """Reads and handles the events of one subscription; implements `Consumer`.

    Args:
        name: the subscription's.
        stream: the stream's.
        pending: this worker's view of the group.
        handle: makes one try of an event.
    """

    def __init__(self, name: str, stream: str, pending: Pending, terms: Terms, handle: Handle) -> None:
        self.activity = Activity()
        self._name = name
        self._stream = stream
        self._pending = pending
        self._terms = terms
        self._handle = handle
        self._places = anyio.CapacityLimiter(terms.concurrency)
        self._hand: dict[str, asyncio.Task[None]] = {}
        self._tries: dict[str, int] = {}
        self._parked = 0
        self._keys: dict[str, asyncio.Event] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._room = asyncio.Event()
        self._ending = False

    async def begin(self) -> None:
        if self._loops:
            return
        self._ending = False
        await self._pending.create(self._terms.start)
        self._loops = [
            asyncio.create_task(self._read(), name=f"read {self._name}"),
            asyncio.create_task(self._renew(), name=f"renew {self._name}"),
        ]

    async def watch(self) -> None:
        if self._loops:
            done, _ = await asyncio.wait(self._loops, return_when=asyncio.FIRST_COMPLETED)
            if not self._ending:
                for loop in done:
                    await loop

    async def end(self, drain: float) -> None:
        self._ending = True
        loops, self._loops = self._loops, []
        if not loops:
            return
        reading, renewing = loops
        try:
            await end_tasks([reading])
            with anyio.move_on_after(drain):
                await self._drained()
        finally:
            await end_tasks(self._hand.values(), again=2 * GRACE)
            await end_tasks([renewing])
            await self._leave()

    def resize(self, concurrency: int) -> None:
        self._places.total_tokens = concurrency
        self._room.set()

    async def lag(self) -> int | None:
        return await self._pending.lag()

    async def _drained(self) -> None:
        while self._places.borrowed_tokens:
            self._room.clear()
            await self._room.wait()

    async def _leave(self) -> None:
        """Leaves what is unhandled to whoever comes next, at once and without the try that was broken off."""
        left, self._tries = self._tries, {}
        try:
            with anyio.fail_after(LAST_WORD):
                for position, tries in left.items():
                    await self._pending.count(position, max(0, tries - 1), idle=self._terms.reclaim)
                await self._pending.forget()
        except AWAY as error:
            logger.warning("%s: could not take leave: %s", self._name, reason(error))
        await self._pending.close()

    # Reading

    async def _read(self) -> None:
        """The only reader for this consumer: what is pending for it and unknown was in an answer that got lost."""
        pause, unsure, looked = FIRST_PAUSE, True, 0.0
        while not self._ending:
            try:
                if unsure:
                    await self._inherit()
                    await self._take_mine()
                    unsure = False
                await self._have_room()
                if time.monotonic() - looked > self._terms.reclaim / 3:
                    while entries := await self._pending.abandoned(self._terms.reclaim, self._free()):
                        for entry in entries:
                            self._take(entry)
                        await self._have_room()
                    looked = time.monotonic()
                wait = min(LONGEST_WAIT, self._terms.reclaim / 3)
                for entry in await self._pending.new(self._free(), wait):
                    self._take(entry, tries=1)
                self._reached()
                pause = FIRST_PAUSE
            except AWAY as error:
                unsure = True
                await self._mend(error)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)

    async def _inherit(self) -> None:
        if taken := await self._pending.inherit():
            logger.warning("%s: took over %d events of the process before", self._name, taken)

    async def _take_mine(self) -> None:
        after = "0"
        while entries := await self._pending.mine(after):
            for entry in entries:
                after = entry[0]
                if after not in self._hand:
                    await self._have_room()
                    self._take(entry)

    async def _mend(self, error: BaseException) -> None:
        """Makes the group anew where the server has lost it: it begins again with all that is there."""
        if not self._pending.gone(error):
            self._away(error)
            return
        logger.warning("%s: its place in the stream is gone, it begins again", self._name)
        try:
            await self._pending.create("beginning")
        except AWAY as again:
            self._away(again)

    def _free(self) -> int:
        handled = len(self._hand) - self._parked
        return min(BATCH, int(self._places.total_tokens) - handled)

    async def _have_room(self) -> None:
        while self._free() <= 0 or self._parked > MOST_WAITING:
            self._room.clear()
            await self._room.wait()

    # Handling

    def _take(self, entry: Entry, *, tries: int = 0) -> None:
        position = entry[0]
        if position in self._hand:
            return
        task = asyncio.create_task(self._work(entry, tries), name=f"event {position}")
        self._hand[position] = task
        task.add_done_callback(lambda _: self._gone(position))

    def _gone(self, position: str) -> None:
        self._hand.pop(position, None)
        self._room.set()

    async def _work(self, entry: Entry, tries: int) -> None:
        position, fields = entry
        if not fields:
            logger.warning("%s: an event is no longer kept and was not handled: %s", self._name, position)
            await self._until_reached(lambda: self._pending.acknowledge(position))
            return
        try:
            event = unpack(fields.get(b"event", b""), self._stream, position)
        except ValueError as error:
            await self._bury(entry, str(error), 0)
            return
        self._tries[position] = tries or await self._until_reached(lambda: self._pending.tries(position))
        async with self._turn(event):
            await self._try(entry, event)
        self._tries.pop(position, None)

    async def _try(self, entry: Entry, event: Event) -> None:
        """Tries an event until it is handled or its tries are spent."""
        position, attempts = event.position, self._terms.attempts
        tries = self._tries[position]
        if tries > attempts + LIVES:
            await self._bury(entry, "its worker died while it was handled", tries)
            return
        tries = min(tries, attempts)
        while True:
            async with self._place():
                failure = await self._handle(event)
                if failure is None:
                    await self._until_reached(lambda: self._pending.acknowledge(position))
            if failure is None:
                self.activity.handled += 1
                return
            self.activity.failed += 1
            if tries >= attempts:
                await self._bury(entry, failure, tries)
                return
            pause = self._terms.pause(tries)
            tries = self._tries[position] = tries + 1
            await self._until_reached(partial(self._pending.count, position, tries))
            with self._parking():
                await asyncio.sleep(pause)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """One of the places of events that are being handled."""
        try:
            async with self._places:
                if self._ending:  # a place has become free because the others drain: begin nothing new
                    raise asyncio.CancelledError
                self.activity.running = self._places.borrowed_tokens
                yield
        finally:
            self.activity.running = self._places.borrowed_tokens
            self._room.set()

    @contextmanager
    def _parking(self) -> Iterator[None]:
        """For as long as an event in hand only waits."""
        self._parked += 1
        self._room.set()
        try:
            yield
        finally:
            self._parked -= 1

    @asynccontextmanager
    async def _turn(self, event: Event) -> AsyncIterator[None]:
        """Waits until the events before it with the same key are done."""
        if event.key is None or not self._terms.key_order:
            yield
            return
        before, mine = self._keys.get(event.key), asyncio.Event()
        self._keys[event.key] = mine
        try:
            if before is not None:
                with self._parking():
                    await before.wait()
            yield
        finally:
            mine.set()
            if self._keys.get(event.key) is mine:
                del self._keys[event.key]

    async def _bury(self, entry: Entry, error: str, tries: int) -> None:
        self.activity.dead += 1
        about = {"subscription": self._name, "stream": self._stream, "position": entry[0], "tries": tries}
        logger.error("%s: the event %s goes to the dead letters: %s", self._name, entry[0], error, extra=about)
        keep = self._terms.dead_letter
        await self._until_reached(lambda: self._pending.bury(entry, error, tries, keep=keep))

    # Upkeep

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._terms.reclaim / 4)
            try:
                await self._pending.renew(self._hand)
            except AWAY as error:
                self._away(error)

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
        if self.activity.away is None:
            logger.warning("%s: Redis does not answer, waiting for it: %s", self._name, reason(error))
        self.activity.away = reason(error)

    def _reached(self) -> None:
        if self.activity.away is not None:
            logger.info("%s: Redis answers again", self._name)
        self.activity.away = None
