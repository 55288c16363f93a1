"""Delivers what has been committed: in order, at least once, and to the reader once.

The entries of one queue or stream are a lane. A lane has one deliverer at a time among all instances, which keeps its
order; different lanes are shared. (`SKIP LOCKED` on the rows alone would let two instances deliver one lane side by
side, out of order.) An entry is removed after it has been delivered. If the process dies in between, it is delivered
again under the same name, which a queue gives to one job alone (`once`) and a stream to one event (its id).
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Conflict, Fault, Invalid
from runtime.services.away import AWAY, reason
from runtime.services.events.ports import NewEvent
from runtime.services.jobs.ports import Draft
from runtime.services.outbox import store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.services.events.ports import Events
    from runtime.services.jobs.ports import Jobs
    from runtime.services.outbox.store import Entry
    from runtime.storage.database import Database

logger = logging.getLogger("runtime.outbox")

POLL: Final = 1.0
"""Seconds between two looks at what other processes have written."""
SOON: Final = 0.05
"""The same while another instance delivers one of the lanes: it may be just about to end."""
BATCH: Final = 200
BATCHES: Final = 10
"""Batches of one lane before the others have their turn."""
LONGEST_PAUSE: Final = 5.0
LONGEST_ERROR: Final = 2_000

_OUT_OF_REACH: Final = (*store.AWAY, *AWAY)


class Relay:
    """Empties the outbox.

    Args:
        database: where entries are kept.
        jobs: where jobs go.
        events: where events go.
        mask: hides secrets in what is kept of an error.
    """

    def __init__(self, database: Database, jobs: Jobs, events: Events, mask: Callable[[str], str]) -> None:
        self.away = ""
        """What does not answer; empty while all does."""
        self.delivered = 0
        self._database = database
        self._jobs = jobs
        self._events = events
        self._mask = mask
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Something has been committed."""
        self._woken.set()

    async def run(self) -> None:
        """Delivers for as long as it is not cancelled."""
        pause = SOON
        while True:
            self._woken.clear()
            try:
                wait = POLL if await self.sweep() else SOON
                self._reached()
                pause = SOON
            except _OUT_OF_REACH as error:
                self._gone(error)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
                continue
            try:
                async with asyncio.timeout(wait):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def sweep(self) -> bool:
        """Delivers what waits; whether nothing is left that this or another instance is at."""
        async with self._database.reading() as connection:
            lanes = await store.lanes(connection)
        ended = True
        for lane in lanes:
            async with self._database.turn("outbox", lane) as mine:
                ended = (mine and await self._drain(lane)) and ended
        return ended

    async def _drain(self, lane: str) -> bool:
        """Delivers a lane's entries, as many as a turn allows; whether these were all."""
        for _ in range(BATCHES):
            async with self._database.reading() as connection:
                entries = await store.head(connection, lane, BATCH)
            if entries:
                await self._deliver(lane, entries)
            if len(entries) < BATCH:
                return True
        return False

    async def _deliver(self, lane: str, entries: Sequence[Entry]) -> None:
        """Delivers entries together; one by one where one of them is refused."""
        try:
            if len({_once(entry) for entry in entries}) < len(entries):
                raise Conflict("two of them are to be given once")
            await self._send(lane, entries)
        except _OUT_OF_REACH:
            raise
        except Exception as error:  # noqa: BLE001 - a refusal, or a fault that must not stop the others
            if len(entries) > 1:
                for entry in entries:
                    await self._deliver(lane, [entry])
                return
            if not (isinstance(error, Conflict) and lane.startswith("jobs:")):  # else it has been delivered before
                await self._bury(entries[0], error)
                return
        async with self._database.transaction() as connection:
            await store.remove(connection, [entry.id for entry in entries])
        self.delivered += len(entries)

    async def _send(self, lane: str, entries: Sequence[Entry]) -> None:
        kind, _, name = lane.partition(":")
        one = len(entries) == 1  # refused alone, it is refused in its own words
        if kind == "jobs":
            drafts = [_draft(entry) for entry in entries]
            if one:
                await self._jobs.enqueue(name, drafts[0].payload, delay=_left(entries[0]), once=drafts[0].once)
            else:
                await self._jobs.enqueue_all(name, drafts)
        elif kind == "events":
            events = [_event(entry) for entry in entries]
            if one:
                event = events[0]
                await self._events.publish(name, event.type, event.data, key=event.key, id=event.id)
            else:
                await self._events.publish_all(name, events)
        else:
            raise Invalid(f'"{lane}" is neither a queue, `jobs:email`, nor a stream, `events:billing`')

    async def _bury(self, entry: Entry, error: Exception) -> None:
        said = error.message if isinstance(error, Fault) else f"{type(error).__name__}: {error}"
        sentence = self._mask(said)[:LONGEST_ERROR]
        about = {"entry": entry.id, "to": entry.lane}
        trace = None if isinstance(error, Fault) else error
        logger.error("the entry %d of the outbox is put aside: %s", entry.id, sentence, exc_info=trace, extra=about)
        async with self._database.transaction() as connection:
            await store.bury(connection, entry.id, sentence)

    def _gone(self, error: BaseException) -> None:
        said = error.message if isinstance(error, Fault) else reason(error)
        if not self.away:
            logger.warning("what is committed waits in the outbox: %s", said)
        self.away = said

    def _reached(self) -> None:
        if self.away:
            logger.info("the outbox delivers again")
        self.away = ""


def _draft(entry: Entry) -> Draft:
    return Draft(_part(entry, "payload"), delay=_left(entry), once=_once(entry))


def _once(entry: Entry) -> str:
    """What a queue gives to one job alone."""
    return entry.body.get("once") or f"outbox:{entry.name}"


def _left(entry: Entry) -> float:
    """Seconds until the entry's job may run."""
    due = entry.body.get("due")
    return max(0.0, due - time.time()) if due else 0.0


def _event(entry: Entry) -> NewEvent:
    body = entry.body
    return NewEvent(_part(entry, "type"), _part(entry, "data"), body.get("key"), body.get("id") or entry.name)


def _part(entry: Entry, name: str) -> Any:
    if name not in entry.body:
        raise Invalid(f"the entry has no `{name}`")
    return entry.body[name]
