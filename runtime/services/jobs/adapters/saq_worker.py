"""A SAQ worker that loses no job.

One loop claims jobs into a list of the worker's own; each then runs in a task of its own. Since only that loop
adds to the list, what stands there and is not known in memory was claimed by a command whose answer never came: it
is run all the same.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import anyio
from saq.job import Job, Status
from saq.types import Context
from saq.utils import now
from saq.worker import Worker

from runtime.services.away import AWAY, reason
from runtime.services.blocking import blocking_client
from runtime.services.ending import end_tasks
from runtime.services.function import GRACE
from runtime.services.jobs.adapters import scripts
from runtime.services.jobs.adapters.saq_queue import Cancelled
from runtime.services.jobs.backend import Activity, Claimed, Limits, Outcome, Run
from runtime.services.names import PROCESS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from runtime.services.jobs.adapters.saq_queue import KeptQueue

logger = logging.getLogger("runtime.jobs")

T = TypeVar("T")

WAIT: Final = 5
"""Seconds for which one claim waits at the server."""
LAST_WORD: Final = 2.0
"""Seconds that the server has to take jobs back while a worker stops."""
SHORTEST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
MOMENT: Final = 0.005
MOST_DUE: Final = 500


class KeepingWorker(Worker[Context]):
    """Runs the jobs of one queue, through `Run`; implements `Claimer`.

    Args:
        queue: where the jobs are.
        limits: how it treats them.
        concurrency: how many run at once.
        run: makes one try of a job and says what it came to; raises nothing but cancellation.
        instance: see `SaqBackend`.
    """

    SIGNALS = []  # the kernel handles signals; two workers in a loop would take each other's

    def __init__(self, queue: KeptQueue, limits: Limits, concurrency: int, run: Run, *, instance: str = "") -> None:
        super().__init__(queue, [], concurrency=concurrency)
        self.kept = queue
        self.limits = limits
        self.activity = Activity()
        self._run = run
        self._instance = instance
        self._mine = f"{instance}:{PROCESS}:"
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tries: dict[str, asyncio.Task[Outcome]] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._room = asyncio.Event()
        self._open = asyncio.Event()
        self._leaving = False
        self._due = asyncio.Event()
        self._blocking = blocking_client(queue.redis, WAIT)

    async def begin(self) -> None:
        if self._loops:
            return
        self.id = f"{self._mine}{secrets.token_hex(4)}"
        self.event = asyncio.Event()
        self._leaving = False
        self._room.set()
        self._open.clear()
        self._blocking = blocking_client(self.kept.redis, WAIT)
        self._loops = [
            asyncio.create_task(self._claim(), name=f"claim {self.kept.name}"),
            asyncio.create_task(self._tick(), name=f"tick {self.kept.name}"),
        ]

    async def watch(self) -> None:
        if not self._loops:
            return
        done, _ = await asyncio.wait(self._loops, return_when=asyncio.FIRST_COMPLETED)
        if not self.event.is_set():
            for loop in done:
                await loop

    async def end(self, drain: float) -> None:
        self.event.set()
        loops, self._loops = self._loops, []
        if loops:
            claiming, ticking = loops  # the latter shows until the end that this worker is alive
            try:
                await end_tasks([claiming])
                if self._running:
                    await asyncio.wait(set(self._running.values()), timeout=drain)
            finally:
                self._leaving = True
                await end_tasks(self._running.values(), again=LAST_WORD + 2 * GRACE)
                await end_tasks([ticking])
                self._running.clear()
                self.activity.running = 0
                await self._leave()

    async def start(self) -> None:
        """SAQ's own way to run a worker: until it is stopped."""
        await self.begin()
        await self.watch()

    async def stop(self) -> None:
        """SAQ's own way to stop a worker: at once."""
        await self.end(0.0)

    def resize(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self._room.set()

    async def _leave(self) -> None:
        """Gives back all that this worker still holds, as far as the server can be reached."""
        try:
            with anyio.fail_after(LAST_WORD):
                for record in reversed(await self.kept.held(self.id)):
                    await self._give_back(record)
                await self.kept.evaluate(scripts.LEAVE, ["workers"], [self.id])
        except AWAY as error:
            logger.warning(
                "%s: could not give its jobs back: %s; they run again when the lease has expired",
                self.kept.name,
                reason(error),
            )
        await self._blocking.aclose()
        await self._blocking.connection_pool.disconnect()

    async def _give_back(self, record: str) -> None:
        job = await self.kept.stored(record)
        if job is not None and job.status == Status.ACTIVE:  # the try that it was in does not count
            job.status = Status.QUEUED
            job.attempts = max(0, job.attempts - 1)
            job.started = 0
        try:
            await self.kept.return_held(record, self.id, job)
        except Cancelled:
            await self._cancel_held(record, self.id, job)

    async def _cancel_held(self, record: str, worker: str, job: Job | None) -> None:
        if job is None:
            await self.kept.drop_held(record, worker)
        else:
            await self.kept.cancel_held(job, worker, self.limits)

    # Claiming

    async def _claim(self) -> None:
        pause = SHORTEST_PAUSE
        unsure, checked = False, time.monotonic()
        while not self.event.is_set():
            if not self._open.is_set():
                await self._open.wait()
            self._room.clear()
            if len(self._running) >= self.concurrency:
                await self._room.wait()
                continue
            try:
                if unsure or time.monotonic() - checked > WAIT:
                    for record in await self.kept.held(self.id):
                        self._take(record)
                    unsure, checked = False, time.monotonic()
                    continue
                if (claimed := await self._next()) is not None:
                    if self._open.is_set():
                        self._take(claimed)
                    else:  # paused while this claim waited at the server
                        await self._give_back(claimed)
                self._reached()
                pause = SHORTEST_PAUSE
            except AWAY as error:
                unsure = True
                self._away(error)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)

    def _pause(self, paused: bool) -> None:
        """Opens or closes the queue for this worker; until the first tick has asked, it is closed."""
        if paused:
            self._open.clear()
            self._reached()  # the loop that claims rests, and does not say so
        else:
            self._open.set()

    async def _next(self) -> str | None:
        record: bytes | None = await self._blocking.blmove(
            self.kept.namespace("queued"), self.kept.namespace(f"active:{self.id}"), WAIT
        )
        return record.decode() if record is not None else None

    def _take(self, record: str) -> None:
        if record in self._running:
            return
        task = asyncio.create_task(self._handle(record), name=f"job {record}")
        self._running[record] = task
        self.activity.running = len(self._running)
        task.add_done_callback(lambda _: self._gone(record))

    def _gone(self, record: str) -> None:
        self._running.pop(record, None)
        self.activity.running = len(self._running)
        self._room.set()

    # Running

    async def _handle(self, record: str) -> None:
        job = await self._until_reached(lambda: self._mark_active(record))
        if job is None or self._leaving:
            return

        async def tell(fraction: float, message: str) -> None:
            job.progress = fraction
            if message:
                job.meta["message"] = message
            job.touched = now()
            try:
                await self.kept.update_held(job, self.id)
            except Cancelled:
                self._cancel([record])

        outcome = await self._try(
            record,
            Claimed(
                id=job.key,
                queue=self.kept.name,
                payload=(job.kwargs or {}).get("payload", {}),
                attempt=job.attempts,
                attempts=job.retries,
                tell=tell,
            ),
        )
        await self._last(self._until_reached(lambda: self._settle(job, outcome)))
        counts = self.activity.counts
        counts[outcome.status] = counts.get(outcome.status, 0) + 1

    async def _try(self, record: str, claimed: Claimed) -> Outcome:
        """Runs a job in a task of its own, so that to cancel the job is not to cancel what stores its outcome."""
        trying = self._tries[record] = asyncio.ensure_future(self._run(claimed))
        try:
            await asyncio.wait({trying})
            return Outcome("cancelled") if trying.cancelled() else trying.result()
        except asyncio.CancelledError:
            await end_tasks([trying], again=2 * GRACE)
            raise
        finally:
            self._tries.pop(record, None)

    def _cancel(self, records: Iterable[str]) -> None:
        for record in records:
            if (trying := self._tries.pop(record, None)) is not None:  # once: a second time would cut its grace short
                trying.cancel()

    async def _last(self, step: Coroutine[Any, Any, None]) -> None:
        """A step that a cancellation leaves a moment: the handler has done its work, and need not do it again."""
        settling = asyncio.create_task(step)
        try:
            await asyncio.shield(settling)
        except asyncio.CancelledError:
            await asyncio.wait({settling}, timeout=LAST_WORD)
            await end_tasks([settling])
            raise

    async def _mark_active(self, record: str) -> Job | None:
        try:
            job = await self.kept.stored(record)
        except (ValueError, TypeError, KeyError):
            logger.exception("%s: a record cannot be read and is left out: %s", self.kept.name, record)
            job = None
        if job is None or job.status in (Status.COMPLETE, Status.FAILED, Status.ABORTED):
            # The record is unreadable, has expired or has ended: what stands in the list is a leftover.
            await self.kept.drop_held(record, self.id)
            return None
        job.status = Status.ACTIVE
        job.started = job.touched = now()
        job.worker_id = self.id
        job.attempts += 1
        try:
            return job if await self.kept.update_held(job, self.id) else None
        except Cancelled:
            job.attempts -= 1  # it does not begin
            job.started = 0
            await self.kept.cancel_held(job, self.id, self.limits)
            return None

    async def _settle(self, job: Job, outcome: Outcome) -> None:
        try:
            await self._store(job, outcome)
        except Cancelled:
            await self.kept.cancel_held(job, self.id, self.limits)

    async def _store(self, job: Job, outcome: Outcome) -> None:
        if outcome.status == "cancelled":
            raise Cancelled
        job.error = outcome.error
        job.touched = now()
        if outcome.status == "retry":
            job.status = Status.QUEUED
            job.started = 0
            job.progress = 0.0
            job.scheduled = cast("int", time.time() + outcome.delay if outcome.delay > 0 else 0)
            await self.kept.retry_held(job, self.id)
            self._due.set()
            return
        job.completed = now()
        if outcome.status == "completed":
            job.status, job.result, job.progress = Status.COMPLETE, outcome.result, 1.0
        else:
            job.status = Status.FAILED
        await self.kept.finish_held(job, self.id, self.limits)

    async def _until_reached(self, step: Callable[[], Awaitable[T]]) -> T:
        """Repeats a step until the server has answered: a job's outcome must not be lost because it was away."""
        pause = SHORTEST_PAUSE
        while True:
            try:
                return await step()
            except AWAY as error:
                self._away(error)
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    # Upkeep

    async def _tick(self) -> None:
        """Shows that this worker is alive, moves jobs whose time has come, takes over from workers that are gone."""
        usual = min(LONGEST_PAUSE, self.limits.lease / 3)
        while not self._leaving:
            pause = usual
            try:
                due, paused, *cancelling = await self.kept.evaluate(
                    scripts.TICK,
                    ["workers", "incomplete", "queued", "cancelling", "paused"],
                    [self.id, self.limits.lease, MOST_DUE],
                )
                next_due = float(due)
                self._pause(bool(paused))
                self._cancel(record.decode() for record in cancelling)
                if 0 <= next_due < pause:
                    pause = max(MOMENT, next_due)
                await self._take_over()
            except AWAY as error:
                self._away(error)
            self._due.clear()
            try:
                async with asyncio.timeout(pause):
                    await self._due.wait()
            except TimeoutError:
                pass

    async def _take_over(self) -> None:
        found = await self.kept.evaluate(
            scripts.ORPHANS,
            ["workers"],
            [self.kept.base, f"{self._instance}:" if self._instance else "\0", self._mine, MOST_DUE],
        )
        names = [name.decode() for name in found]
        for worker, record in reversed(list(zip(names[::2], names[1::2], strict=True))):
            job = await self.kept.stored(record)
            try:
                await self._take_back(record, worker, job)
            except Cancelled:
                await self._cancel_held(record, worker, job)
            self.activity.returned += 1
        if names:
            logger.warning("%s: took over %d jobs of workers that are gone", self.kept.name, len(names) // 2)

    async def _take_back(self, record: str, worker: str, job: Job | None) -> None:
        """Puts a job of a worker that is gone back into the queue, unless it has killed too many."""
        if job is None or job.status != Status.ACTIVE:  # it had not begun
            await self.kept.return_held(record, worker)
            return
        job.meta["stalls"] = job.meta.get("stalls", 0) + 1
        job.started = 0
        if job.meta["stalls"] > self.limits.stalls:
            job.status = Status.FAILED
            job.error = f"its worker died {job.meta['stalls']} times while it ran"
            job.completed = now()
            await self.kept.finish_held(job, worker, self.limits)
            logger.error("%s: %s", job.key, job.error, extra={"job": job.key, "queue": self.kept.name})
        else:
            job.status = Status.QUEUED
            job.attempts = max(0, job.attempts - 1)
            await self.kept.return_held(record, worker, job)

    def _away(self, error: BaseException) -> None:
        if self.activity.away is None:
            logger.warning("%s: Redis does not answer, waiting for it: %s", self.kept.name, reason(error))
        self.activity.away = reason(error)

    def _reached(self) -> None:
        if self.activity.away is not None:
            logger.info("%s: Redis answers again", self.kept.name)
        self.activity.away = None
