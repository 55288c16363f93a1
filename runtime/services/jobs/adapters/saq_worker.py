"""A SAQ worker that loses no job.

What has come to an end and what may begin travel together: each call hands in all outcomes that have gathered and
claims jobs for the slots that are free. Two calls may be under way, so that the server works while the handlers do. A
worker with nothing to do waits at the server for a sign. Outcomes are kept until the server has taken them; a claim
whose answer was lost is looked up.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Any, Final

import anyio
from saq.types import Context
from saq.worker import Worker

from runtime.services.away import AWAY, reason
from runtime.services.blocking import blocking_client
from runtime.services.ending import end_tasks
from runtime.services.jobs.adapters.held import Held, closing
from runtime.services.jobs.adapters.record import Record, decoded, encoded, milliseconds
from runtime.services.jobs.adapters.saq_queue import Claim
from runtime.services.jobs.adapters.standing import StandingClaim
from runtime.services.jobs.claiming import Activity, Ending, Outcome, Runner
from runtime.services.names import PROCESS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from runtime.services.jobs.adapters.lease import Leases
    from runtime.services.jobs.adapters.saq_queue import Exchanged, KeptQueue
    from runtime.services.jobs.backend import Limits

logger = logging.getLogger("runtime.jobs")

Ended = tuple[Held, tuple[Any, ...]]
"""A job whose try is over, and what is handed in of it; see `lua/exchange.lua`."""

WAIT: Final = 5
"""Seconds for which an idle worker waits at the server; then it looks all the same."""
CALLS: Final = 2
"""Exchanges under way at once."""
MOST_AT_ONCE: Final = 500
"""Outcomes and claims of one exchange, jobs taken over at a time."""
LAST_WORD: Final = 2.0
"""Seconds that the server has to take jobs back while a worker stops."""
SHORTEST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
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
        self.limits = limits
        self.activity = Activity()
        self._runner = runner
        self._leases = leases
        self._instance = f"{instance}:" if instance else ""
        self._mine = f"{instance}:{PROCESS}:"
        self._held: dict[str, Held] = {}
        self._outcomes: list[Ended] = []
        self._handing_in = 0
        self._asked = 0
        self._claims = 0
        self._loops: list[asyncio.Task[None]] = []
        self._look = asyncio.Event()
        self._idle = asyncio.Event()
        self._empty = False
        self._seen = 0
        self._busy = asyncio.Event()
        self._free = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    # Life

    async def begin(self) -> None:
        if self._loops:
            return
        self.loop = asyncio.get_running_loop()
        self.id = f"{self._mine}{secrets.token_hex(4)}"
        self.event = asyncio.Event()
        self._empty = False
        self._claims = self._asked = self._handing_in = 0
        self._standing = StandingClaim(self.kept, WAIT)
        self._wire = blocking_client(self.kept.client, 0.0)
        self._leases.keep(self.kept.namespace("workers"), self.id, self.limits.lease)
        loops = [self._tick, self._stand_by, self._mark_long, *[self._exchange] * CALLS]
        self._loops = [asyncio.create_task(loop(), name=f"{loop.__name__} {self.kept.name}") for loop in loops]

    async def watch(self) -> None:
        if not self._loops:
            return
        done, _ = await asyncio.wait(self._loops, return_when=asyncio.FIRST_COMPLETED)
        if not self.event.is_set():
            for loop in done:
                await loop

    async def end(self, drain: float) -> None:
        self.event.set()  # from here on nothing more is claimed
        if self._loops:
            self._standing.call_off()
        loops, self._loops = self._loops, []
        if not loops:
            return
        try:
            await self._drained(drain)
            for held in list(self._held.values()):
                self._told(held, "drain")
            await self._drained(LAST_WORD)
        finally:
            await end_tasks(loops)
            if self._timer is not None:
                self._timer.cancel()
            await self._leave()
            self._held.clear()
            self._outcomes.clear()
            self.activity.running = 0

    async def start(self) -> None:
        """SAQ's own way to run a worker: until it is stopped."""
        await self.begin()
        await self.watch()

    async def stop(self) -> None:
        """SAQ's own way to stop a worker: at once."""
        await self.end(0.0)

    def resize(self, concurrency: int, limits: Limits) -> None:
        self.concurrency = concurrency
        self.limits = limits
        if self._loops:
            self._standing.call_off()
        self._look_now()

    async def _drained(self, patience: float) -> None:
        """Waits until nothing is held any more, and no claim is under way."""
        try:
            async with asyncio.timeout(patience):
                while self._held or (self._asked and self.activity.away is None):
                    self._free.clear()
                    self._look.set()
                    await self._free.wait()
        except TimeoutError:
            pass

    async def _leave(self) -> None:
        """Hands in what is left, gives back what still runs, as far as the server can be reached."""
        self._leases.drop(self.kept.namespace("workers"), self.id)
        try:
            with anyio.fail_after(LAST_WORD):
                for held in self._held.values():
                    if not held.settled:
                        held.settle(Outcome("back"))
                while self._outcomes:
                    await self._hand_over(0)
                await self.kept.leave(self.id)
        except AWAY as error:
            logger.warning(
                "%s: could not give its jobs back: %s; they run again when the lease has expired",
                self.kept.name,
                reason(error),
            )
        await self._standing.close()
        await self._wire.aclose()

    # Exchanging

    async def _exchange(self) -> None:
        """One of the loops that hand in and claim."""
        pause = SHORTEST_PAUSE
        while True:
            want = self._wanted()
            if not self._outcomes and (want <= 0 or self._empty):
                if want > 0:
                    self._idle.set()
                self._look.clear()
                await self._look.wait()
                continue
            try:
                await self._hand_over(want)
                self._reached()
                pause = SHORTEST_PAUSE
            except AWAY as error:
                self._away(error)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)

    def _wanted(self) -> int:
        if self.event.is_set():
            return 0
        free = self.concurrency - len(self._held) - self._asked + len(self._outcomes) + self._handing_in
        return min(MOST_AT_ONCE, free, -(-self.concurrency // CALLS))  # each call has its share, so that they overlap

    async def _hand_over(self, want: int) -> None:
        """Hands in what has come to an end, and claims."""
        outcomes, self._outcomes = self._outcomes[:MOST_AT_ONCE], self._outcomes[MOST_AT_ONCE:]
        parts = [part for _, part in outcomes]
        await self._claim(max(0, want), lambda claim: self.kept.exchange(claim, parts, self._wire), outcomes)

    async def _claim(
        self, want: int, send: Callable[[Claim], Awaitable[Exchanged]], outcomes: Sequence[Ended] = ()
    ) -> None:
        self._asked += want
        self._handing_in += len(outcomes)
        seen = self._seen
        try:
            token, answer = await self._sent(want, send)
        except BaseException:
            self._outcomes = [*outcomes, *self._outcomes]
            raise
        finally:
            self._asked -= want
            self._handing_in -= len(outcomes)
            self._free.set()
        lost = set(answer.lost)
        told = set(answer.told)
        for held, _ in outcomes:
            if held.id in told:
                self._outcomes.append((held, closing(held, Outcome("cancelled"), self.limits)))
            else:
                self._let_go(held)
                if held.id in lost and not self.event.is_set():  # while it ends, a call may have been cut short
                    logger.warning("%s: its outcome came too late, another worker has it", held.id)
        for id_, stored, broken in answer.claimed:
            self._take(id_, token, stored, broken)
        if want > 0:
            self._empty = len(answer.claimed) < want and seen == self._seen
            self._look_in(answer.pause)
        if self._outcomes or (self._wanted() > 0 and not self._empty):
            self._look.set()

    async def _sent(self, want: int, send: Callable[[Claim], Awaitable[Exchanged]]) -> tuple[str, Exchanged]:
        """One call: its token and its answer.

        Where the answer is lost, what the call has claimed is looked up, and from then on it does nothing even if it
        reaches the server late. Then a new one is made.
        """
        pause, given_up = SHORTEST_PAUSE, ""
        token = self._token()
        again = False
        while True:
            try:
                if given_up:
                    for id_, stored, broken in await self.kept.claimed(given_up):
                        self._take(id_, given_up, stored, broken)
                        want = max(0, want - 1)
                    given_up, token = "", self._token()
                answer = await send(Claim(self.id, token, want, self.limits))
            except AWAY as error:
                self._away(error)
                again, given_up = True, token
            else:
                if again:
                    answer.lost.clear()  # the first call may have handed them in
                return token, answer
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    def _token(self) -> str:
        self._claims += 1
        return f"{self.id}#{self._claims}"

    def _take(self, id_: str, token: str, stored: bytes | None, broken: str | None) -> None:
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
        self._busy.set()
        if self.event.is_set():
            held.settle(Outcome("back"))
        elif broken is not None:
            held.attempt -= 1  # it does not begin
            held.settle(Outcome("failed", error=f"the job {broken}, for which it waited, has not completed"))
        else:
            self._runner.start(held)

    def _drop(self, id_: str, token: str) -> None:
        """Forgets what this worker holds and cannot run."""
        held = Held(id_, token, Record(), self)
        held.settled = True
        self._held[id_] = held
        self._outcomes.append((held, (id_, token, "gone", "", 0, "")))

    def settled(self, held: Held, outcome: Outcome) -> None:
        """Takes what a try came to; it is handed in with the next call."""
        counts = self.activity.counts
        counts[outcome.status] = counts.get(outcome.status, 0) + 1
        if self._held.get(held.id) is held:
            self._outcomes.append((held, closing(held, outcome, self.limits)))
            self._look.set()

    def _let_go(self, held: Held) -> None:
        if self._held.get(held.id) is held:
            del self._held[held.id]
            if not self._held:
                self._busy.clear()
            self.activity.running = len(self._held)
            self._free.set()

    # Waiting for work

    async def _stand_by(self) -> None:
        """While there is nothing to do, a claim of this worker stands at the server."""
        pause = SHORTEST_PAUSE
        while True:
            want = self._wanted() if self._empty else 0
            if want <= 0:
                await self._idle.wait()
                self._idle.clear()
                continue
            try:
                await self._claim(want, self._stand)
                self._reached()
                pause = SHORTEST_PAUSE
            except AWAY as error:
                self._away(error)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
                self._look_now()

    async def _stand(self, claim: Claim) -> Exchanged:
        if self.event.is_set():
            return await self.kept.exchange(claim, (), self._wire)
        return await self._standing.claim(claim)

    def _look_now(self) -> None:
        self._seen += 1
        self._empty = False
        self._look.set()
        if self._wanted() <= 0:
            self._standing.call_off()  # it has the slots that are free

    def _look_in(self, pause: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if pause is not None and pause < WAIT:
            self._timer = asyncio.get_running_loop().call_later(pause, self._look_now)

    # Upkeep

    async def mark(self, jobs: Sequence[Held]) -> None:
        """Stores the records of running jobs, and learns what they are told."""
        told = await self.kept.mark([(held.id, held.token, encoded(held.record)) for held in jobs])
        for held, what in zip(jobs, told, strict=True):
            held.marked = True
            self._tell(held, what)

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

    async def _mark_long(self) -> None:
        while True:
            await self._busy.wait()
            await asyncio.sleep(MARKED_AFTER)
            before = milliseconds() - MARKED_AFTER * 1000
            long = [
                held
                for held in self._held.values()
                if not held.marked and not held.settled and held.record.started <= before
            ]
            if long:
                try:
                    await self.mark(long[:MOST_AT_ONCE])
                except AWAY as error:
                    self._away(error)
                    await asyncio.sleep(LONGEST_PAUSE)

    async def _tick(self) -> None:
        """Shows that this worker is alive, hears what its jobs are told, takes over from workers that are gone."""
        usual = min(LONGEST_PAUSE, self.limits.lease / 3)
        while True:
            pause = usual
            try:
                ticked = await self.kept.tick(self.id, self._instance, self._mine, self.limits, MOST_AT_ONCE)
            except AWAY as error:
                self._away(error)
            else:
                self._reached()
                for id_, what in ticked.signals.items():
                    if (held := self._held.get(id_)) is not None:
                        self._tell(held, what)
                for id_, stored, why in ticked.mine:
                    self._bury(id_, stored, why)
                if ticked.returned:
                    self.activity.returned += ticked.returned
                    logger.warning("%s: took over %d jobs of workers that are gone", self.kept.name, ticked.returned)
                pause = 0.0 if ticked.more else usual
            await asyncio.sleep(pause)

    def _bury(self, id_: str, stored: bytes, why: str) -> None:
        """Ends a job whose worker is gone and that shall not run again."""
        record = decoded(stored)
        token = f"{self.id}#0"
        if (known := self._held.get(id_)) is not None and known.token == token:
            return
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

    def _away(self, error: BaseException) -> None:
        if self.activity.away is None:
            logger.warning("%s: Redis does not answer, waiting for it: %s", self.kept.name, reason(error))
            self._free.set()
        self.activity.away = reason(error)

    def _reached(self) -> None:
        if self.activity.away is not None:
            logger.info("%s: Redis answers again", self.kept.name)
        self.activity.away = None
