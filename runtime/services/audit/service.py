"""The component of the audit trail: keeps acts where nothing can lose them, and brings them into the chain.

An act goes into Redis, which is quick, before its caller has the answer; from there every instance moves what waits
into the database, many at once. While the database is away acts wait in Redis; while Redis is away they go straight
into the database. Nobody's act is refused because neither can be reached: almost every act that is written down changes
one of them and fails by itself then, and the few others (a secret is looked at anew) are those by which an operator
mends an outage. Such an act is logged, and held in memory until one of the two is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import anyio

from runtime.errors import Fault
from runtime.health import Health
from runtime.services.audit import store
from runtime.services.audit.entries import entry
from runtime.services.audit.redaction import Redaction
from runtime.services.audit.trail import StoredTrail
from runtime.services.audit.verification import Verification
from runtime.services.away import AWAY, reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.services.audit.chain import Seal
    from runtime.services.audit.ports import Entry, Place, Verified, Wanted
    from runtime.services.audit.spool import Spool
    from runtime.storage.database import Database
    from runtime.telemetry.audit import Act

logger = logging.getLogger("runtime.audit")

BATCH: Final = 500
PATIENCE: Final = 2.0
"""Seconds for which an act waits for Redis, and as many for the database after it."""
HELD: Final = 1000
"""Acts in memory while neither can be reached; of more than that the oldest are only in the log."""
LOOK: Final = 10.0
"""Seconds between two looks for what instances that have died left in Redis."""
PAUSE: Final = 1.0
PRUNE: Final = 86_400.0
FIRST_PRUNE: Final = 300.0
LATE: Final = 100
"""Acts that wait for the database before health says so."""
PROBE_LIMIT: Final = 0.8

_LOST: Final = (*AWAY, *store.AWAY, Fault, TimeoutError)


class AuditTrail:
    """Implements the ports `Trail` and `runtime.telemetry.audit.Recorder`.

    Args:
        database: where the chain is.
        spool: where acts wait for it.
        seal: makes the hashes.
        keep: seconds for which entries are kept; None for ever.
        known: masks the values of secrets that the environment knows.
    """

    def __init__(
        self,
        database: Database,
        spool: Spool,
        seal: Seal,
        *,
        keep: float | None = None,
        known: Callable[[str], str] = str,
    ) -> None:
        self._database = database
        self._spool = spool
        self._seal = seal
        self._keep = keep
        self._redaction = Redaction(known)
        self._trail = StoredTrail(database, seal)
        self._held: deque[dict[str, Any]] = deque(maxlen=HELD)
        self._grown = asyncio.Event()
        self._trouble = ""

    # Writing

    async def record(self, act: Act) -> None:
        made = entry(act, self._redaction)
        try:
            await self._keep_entry(made)
        except _LOST as error:
            logger.error("an act waits in memory, nothing keeps it: %s", reason(error), extra={"act": made})
            self._held.append(made)
            self._grown.set()

    def note(self, act: Act) -> None:
        self._held.append(entry(act, self._redaction))
        self._grown.set()

    async def keep(self, act: Act) -> None:
        """Writes an act down, or raises.

        Raises:
            Exception: neither Redis nor the database can be reached.
        """
        await self._keep_entry(entry(act, self._redaction))

    async def _keep_entry(self, made: dict[str, Any]) -> None:
        try:
            with anyio.fail_after(PATIENCE):
                await self._spool.add(made)
        except (*AWAY, TimeoutError):
            with anyio.fail_after(PATIENCE):
                await self._trail.append([made])
        else:
            self._grown.set()

    # As a component

    async def start(self) -> None:
        """Nothing to do: what waits is moved by `watch`."""

    async def watch(self) -> None:
        """Brings into the chain what waits, and removes what is too old, until it is cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._move_on)
            if self._keep is not None:
                tasks.start_soon(self._prune, self._keep)

    async def stop(self) -> None:
        """What waits in Redis can wait; what is in memory is kept."""
        if self._held:
            try:
                with anyio.fail_after(PATIENCE):
                    await self._keep_held()
            except _LOST as error:
                acts = list(self._held)
                logger.error("%d acts are nowhere but here: %s", len(acts), reason(error), extra={"acts": acts})

    async def health(self) -> Health:
        details: dict[str, Any] = {"keyed": self._seal.keyed, "in_memory": len(self._held)}
        try:
            with anyio.fail_after(PROBE_LIMIT):
                details["waiting"] = waiting = await self._spool.length()
                details["entries"] = (await self._trail.head()).seq
        except _LOST as error:
            return Health("degraded", f"acts wait: {self._trouble or reason(error)}", details)
        if self._trouble or waiting > LATE:
            return Health("degraded", f"{waiting} acts wait for the database: {self._trouble or 'too many'}", details)
        return Health(details=details)

    async def _move_on(self) -> None:
        while True:
            self._grown.clear()
            try:
                await self._keep_held()
                await self._move()
            except _LOST as error:
                said = reason(error)
                if said != self._trouble:
                    logger.warning("acts wait until the audit trail can be written: %s", said)
                self._trouble = said
                await asyncio.sleep(PAUSE)
                continue
            self._trouble = ""
            with anyio.move_on_after(LOOK):
                await self._grown.wait()

    async def _keep_held(self) -> None:
        while self._held:
            batch = list(self._held)[:BATCH]
            await self._trail.append(batch)
            for made in batch:
                if self._held and self._held[0] is made:
                    self._held.popleft()

    async def _move(self) -> None:
        while waiting := await self._spool.first(BATCH):
            await self._trail.append([each.entry for each in waiting])
            await self._spool.remove(waiting)

    async def _prune(self, keep: float) -> None:
        pause = FIRST_PRUNE
        while True:
            await asyncio.sleep(pause)
            pause = PRUNE
            try:
                if removed := await self._trail.prune(keep):
                    logger.info("%d entries of the audit trail were removed for their age", removed)
            except _LOST as error:
                logger.warning("old entries of the audit trail could not be removed: %s", reason(error))
                pause = FIRST_PRUNE

    # Reading

    async def entries(self, wanted: Wanted, *, before: int | None, limit: int) -> list[Entry]:
        return await self._trail.entries(wanted, before=before, limit=limit)

    async def head(self) -> Place:
        return await self._trail.head()

    async def verify(
        self,
        *,
        after: Place | None = None,
        limit: int | None = None,
        noted: Place | None = None,
        on_progress: Callable[[int], None] = lambda seq: None,
    ) -> Verified:
        return await Verification(self._database, self._seal, noted, on_progress).walk(after, limit)
