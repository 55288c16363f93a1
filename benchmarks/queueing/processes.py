"""Producers and workers of a system as child processes, spoken to in lines of JSON; see `harness`."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import psutil

from benchmarks.queueing.peers import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from benchmarks.queueing.peers import System
    from benchmarks.queueing.server import Server

LONGEST_LOG: Final = 2_000
PAUSE: Final = 0.01


class Child:
    """A process of a system in one role.

    Args:
        options: see `harness.System`.
    """

    def __init__(self, system: System, role: str, server: Server, **options: object) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `kill`
        self._process = subprocess.Popen(
            system.command(role, {"port": server.port, **options}),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, cwd=ROOT, bufsize=0,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""},
        )  # fmt: skip
        self._what = f"{role} of {system.name}"
        self._said: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.kill()

    def order(self, **what: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")

    def hear(self, patience: float) -> dict[str, Any]:
        """The next thing that it says.

        Raises:
            RuntimeError: it has ended, or says nothing for so many seconds.
        """
        try:
            said = self._said.get(timeout=patience)
        except queue.Empty:
            raise RuntimeError(f"the {self._what} says nothing for {patience:g} s") from None
        if said is None:
            self._log.seek(0, os.SEEK_END)
            self._log.seek(max(0, self._log.tell() - LONGEST_LOG))
            raise RuntimeError(f"the {self._what} has ended: {self._log.read().decode(errors='replace')}")
        return said

    def hear_of(self, what: str, patience: float) -> dict[str, Any]:
        """Goes on until it says a certain thing."""
        while (said := self.hear(patience)).get("said") != what:
            pass
        return said

    def ask(self, patience: float, **what: object) -> dict[str, Any]:
        self.order(**what)
        return self.hear(patience)

    def cpu(self) -> float:
        """Seconds of CPU time that it has used."""
        used = psutil.Process(self._process.pid).cpu_times()
        return used.user + used.system

    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._listening.join(timeout=1)
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            if pipe is not None:
                pipe.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(b"{"):
                self._said.put(json.loads(line))
        self._said.put(None)


class Run(NamedTuple):
    """One line of a journal: a job's begin or its end."""

    ended: bool
    number: int
    at: float


class Journal:
    """What workers have noted of their jobs, also those that were killed since."""

    def __init__(self, folder: str) -> None:
        self.path = Path(folder, "journal")
        self.path.touch()
        self._offset = 0
        self.begun: Counter[int] = Counter()
        self.ended: Counter[int] = Counter()
        self.runs: list[Run] = []

    def read(self) -> list[Run]:
        """What has been added since the last time."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        fresh = []
        for line in whole.splitlines():
            sign, number, at = line.split()
            if int(number) >= 0:
                run = Run(sign == b"e", int(number), float(at))
                fresh.append(run)
                (self.ended if run.ended else self.begun)[run.number] += 1
        self.runs += fresh
        return fresh

    def wait(self, done: Callable[[], bool], patience: float) -> float | None:
        """Waits for something that its lines show; seconds that it took, None where it took too long."""
        begin = time.monotonic()
        while True:
            self.read()
            if done():
                return time.monotonic() - begin
            if time.monotonic() - begin > patience:
                return None
            time.sleep(PAUSE)

    def until_ended(self, count: int, patience: float) -> float | None:
        return self.wait(lambda: len(self.ended) >= count, patience)

    def until_begun(self, count: int, patience: float) -> float | None:
        return self.wait(lambda: len(self.begun) >= count, patience)

    @property
    def running(self) -> int:
        """Jobs that have begun and not ended; of workers that live, that is."""
        return self.begun.total() - self.ended.total()
