"""Rows on faults: killed workers, a killed server, both at once, and a change of size in full flow.

Every job notes its begin and its end in a file of the worker's; what is lost or run twice is counted there, not asked
of the system under test.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from benchmarks.queueing.processes import Child, Journal
from benchmarks.queueing.server import Server

if TYPE_CHECKING:
    from benchmarks.queueing.peers import System
    from benchmarks.queueing.speed import Figures

LEASE: Final = 10.0
STARTING: Final = 60.0
STILL: Final = 45.0
"""Seconds without a further job after which the rest counts as lost."""
ENDLESS_MS: Final = 600_000
AWAY: Final = 1.0
MEASURED: Final = 3.0


class Stage(ExitStack):
    """A server, a producer that has filled the queue, and workers with one journal.

    Args:
        ms: how long a job works.
    """

    def __init__(self, system: System, *, jobs: int, ms: float, concurrency: int, append_only: bool = True) -> None:
        super().__init__()
        self._system, self._concurrency = system, concurrency
        self.server = self.enter_context(Server(append_only=append_only))
        self.jobs = jobs
        self.journal = self.fresh_journal()
        with Child(system, "producer", self.server, heartbeat=True) as producer:
            producer.hear(STARTING)
            producer.ask(STARTING, do="bulk", first=0, count=jobs, ms=ms)
        self.worker = self._work()

    def fresh_journal(self) -> Journal:
        self.journal = Journal(self.enter_context(tempfile.TemporaryDirectory(prefix="runtime-bench-")))
        return self.journal

    def replace_worker(self) -> None:
        """Kills the worker and starts the next one, as whoever watches over it would."""
        self.worker.kill()
        self.worker = self._work()

    def watch_over(self) -> None:
        """Starts the worker anew where it has ended by itself."""
        if not self.worker.alive():
            self.replace_worker()

    def drain(self) -> bool:
        """Waits for all jobs; False where for `STILL` seconds no further one has ended."""
        while len(self.journal.ended) < self.jobs:
            before = len(self.journal.ended)
            if self.journal.wait(lambda before=before: len(self.journal.ended) > before, STILL) is None:  # type: ignore[misc]
                return False
            self.watch_over()
        return True

    def counts(self) -> Figures:
        return {
            "lost": self.jobs - len(self.journal.ended),
            "run twice": sum(1 for count in self.journal.ended.values() if count > 1),
        }

    def _work(self) -> Child:
        options = {"concurrency": self._concurrency, "lease": LEASE, "journal": str(self.journal.path)}
        return self.enter_context(Child(self._system, "worker", self.server, heartbeat=True, **options))


def killed(system: System, *, jobs: int, patience: float) -> Figures:
    """Seconds from the death of a worker with so many running jobs until another one has begun all of them again."""
    with Stage(system, jobs=jobs, ms=ENDLESS_MS, concurrency=jobs, append_only=False) as stage:
        if stage.journal.until_begun(jobs, STARTING) is None:
            return {"lost": jobs - len(stage.journal.begun)}
        journal = stage.fresh_journal()
        stage.replace_worker()
        taken = journal.until_begun(jobs, patience)
        return {"lost": jobs - len(journal.begun), **({"all run again, s": taken} if taken is not None else {})}


def outage(system: System, *, jobs: int) -> Figures:
    """The server is killed under a working worker and comes back with its append-only file."""
    with Stage(system, jobs=jobs, ms=20, concurrency=100) as stage:
        stage.journal.until_ended(jobs // 4, STARTING)
        stage.server.kill()
        time.sleep(AWAY)  # what runs has ended, the first tries to connect are over
        figures: Figures = {}
        if stage.worker.alive():
            before = stage.worker.cpu()
            time.sleep(MEASURED)
            figures["CPU while it is away, %"] = (stage.worker.cpu() - before) / MEASURED * 100
        stage.watch_over()
        stage.journal.read()
        begun = stage.journal.begun.total()
        stage.server.start()
        waited = stage.journal.wait(lambda: stage.journal.begun.total() > begun, STILL)
        if waited is not None:
            figures["flows again after, s"] = waited
        stage.drain()
        return figures | stage.counts()


def chaos(system: System, *, jobs: int, workers: int, servers: int) -> Figures:
    """Kills of the worker and of the server, spread over the run; beside it the same run undisturbed."""
    with Stage(system, jobs=jobs, ms=100, concurrency=100) as stage:
        begin = time.monotonic()
        stage.drain()
        undisturbed = time.monotonic() - begin
    faults = workers + servers
    with Stage(system, jobs=jobs, ms=100, concurrency=100) as stage:
        begin = time.monotonic()
        for number in range(1, faults + 1):
            stage.journal.until_ended(jobs * number // (faults + 1), STILL)
            if number % (faults // servers) == 0:
                stage.server.kill()
                time.sleep(AWAY)
                stage.server.start()
                stage.watch_over()
            else:
                stage.replace_worker()
        figures: Figures = {"undisturbed, s": undisturbed}
        if stage.drain():
            figures |= {"seconds": time.monotonic() - begin}
            figures["times undisturbed"] = figures["seconds"] / undisturbed
        return figures | stage.counts()


def resize(system: System, *, jobs: int, most: int) -> Figures:
    """From one job at once to `most` and back, in full flow.

    Up: until so many run. Down: until no job begins beyond the one.
    """
    with Stage(system, jobs=jobs, ms=2_000, concurrency=1, append_only=False) as stage:
        journal, worker = stage.journal, stage.worker
        journal.until_begun(1, STARTING)
        asked = time.monotonic()
        if worker.ask(STARTING, do="resize", to=most)["said"] == "refused":
            raise NotImplementedError("it cannot be resized without a restart")
        reached = journal.wait(lambda: journal.running >= most, STARTING)
        up = time.monotonic() - asked
        connections = stage.server.connections()
        ordered = time.time()
        worker.order(do="resize", to=1)
        journal.wait(lambda: journal.running <= 1, STARTING)
        running, last = 0, ordered
        for run in sorted(journal.runs, key=lambda run: run.at):
            running += -1 if run.ended else 1
            if not run.ended and running > 1 and run.at > ordered:
                last = run.at
        worker.order(do="resize", to=most)
        stage.drain()
        figures: Figures = {"down, s": last - ordered, "connections": connections}
        return figures | ({"up, s": up} if reached is not None else {}) | stage.counts()
