"""One child process that runs jobs, as its parent sees it; what it does itself stands in `process_main`."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Fault
from runtime.services.function import Returned
from runtime.services.jobs.load import memory_used
from runtime.services.jobs.ports import Reject, Retry
from runtime.services.jobs.progress import Progress
from runtime.storage import tether

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.plugins import Mark
    from runtime.services.jobs.claiming import Claimed

logger = logging.getLogger("runtime.jobs")

MAIN: Final = Path(__file__).with_name("process_main.py")
LARGEST_MESSAGE: Final = 4_000_000
START_LIMIT: Final = 60.0
ENDING: Final = 2.0
SHOWN_OUTPUT: Final = 65_536
"""Bytes of a job's output that are logged."""
MOST_OUTPUT: Final = 16_000_000
"""Bytes of output with which a job is ended: it must not keep its parent reading."""


class ProcessDied(Fault):
    """The process of a job ended under it: a crash, `os._exit`, or killed from outside."""

    title = "The job's process ended"


class Process:
    """A child process; runs one job at a time.

    Args:
        marks: tasks that it imports at its start.
        memory: bytes of data that it may have.
        variables: its environment.
    """

    def __init__(self, marks: Sequence[Mark], *, memory: int | None, variables: Mapping[str, str]) -> None:
        self._marks = marks
        self._memory = memory
        self._variables = dict(variables)
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None
        self._socket: socket.socket | None = None
        self._output: int | None = None
        self._said = 0
        self._before = 0
        self._about: dict[str, Any] = {}
        self.fit = False
        """Whether it can take a job."""
        self.died = False
        """Whether it has ended by itself."""

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Returns when it has imported the tasks' modules.

        Raises:
            Fault: it could not, or does not get ready.
        """
        self._socket, theirs = socket.socketpair()
        self._output, output = os.pipe()
        spawning = asyncio.create_task(
            asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", tether.__file__, str(os.getpid()),
                sys.executable, "-I", str(MAIN), str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=(theirs.fileno(),),
                start_new_session=True, env=self._variables,
            )
        )  # fmt: skip
        try:
            await asyncio.shield(spawning)
        except OSError as error:
            raise Fault(f"no process can be started for the job: {error.strerror}") from error
        finally:
            while not spawning.done():  # cancelled in the middle, it would leave a child that nobody knows
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({spawning})
            theirs.close()
            os.close(output)
            if not spawning.exception():
                self._process = spawning.result()
        os.set_blocking(self._output, False)
        asyncio.get_running_loop().add_reader(self._output, self._read_output)
        self._reader, self._writer = await asyncio.open_connection(sock=self._socket, limit=LARGEST_MESSAGE)
        self._socket = None  # it is the writer's
        self._send(
            path=sys.path,
            memory=self._memory,
            level=logging.getLogger().getEffectiveLevel(),
            tasks=[_place(mark) for mark in self._marks],
        )
        try:
            async with asyncio.timeout(START_LIMIT):
                message = await self._hear()
        except TimeoutError:
            raise Fault(f"the job's process was not ready after {START_LIMIT:g} s: what does its module do?") from None
        if message.get("kind") != "ready":
            raise Fault(str(message.get("text")), remedy="A task of a process stands at the top of its module.")
        self._before = memory_used(self.pid)
        self.fit = True

    def growth(self) -> int:
        """Bytes that it has more than before its first job; 0 where the system does not say."""
        return memory_used(self.pid) - self._before if self._before else 0

    async def run(self, mark: Mark, claimed: Claimed) -> Returned:
        """Runs a job; raises nothing but its own cancellation, after which the process must be killed."""
        self._about = {"job": claimed.id, "queue": claimed.queue, "attempt": claimed.attempt}
        self._said = 0
        self.fit = False
        progress = Progress(claimed.tell, self._about)
        try:
            self._send(
                kind="run",
                task=_place(mark),
                payload=claimed.payload,
                job={name: getattr(claimed, name) for name in ("id", "queue", "attempt", "attempts")},
            )
            message = await self._answer(progress)
            self._read_output()
            await progress.settle()
            self.fit = not message.get("spoilt") and not self.died
            return _returned(message)
        except ProcessDied as error:
            return Returned(error=error)
        finally:
            await progress.end()

    async def _answer(self, progress: Progress) -> dict[str, Any]:
        while True:
            message = await self._hear()
            match message.get("kind"):
                case "progress":
                    progress.note(float(message["fraction"]), str(message["message"]))
                case "log":
                    self._log(message)
                case _:
                    return message

    def kill(self) -> None:
        """Ends it and what it has started, at once; as often as one likes."""
        self.fit = False
        self._signal()
        for connection in (self._socket, self._writer):
            if connection is not None:
                connection.close()
        if self._output is not None:
            asyncio.get_running_loop().remove_reader(self._output)
            os.close(self._output)
            self._output = None

    def _signal(self) -> None:
        if self._process is not None and self._process.returncode is None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    async def ended(self) -> None:
        """Returns when it is gone."""
        if self._process is not None:
            await self._process.wait()

    def _send(self, **message: Any) -> None:
        if self._writer is not None:
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def _hear(self) -> dict[str, Any]:
        try:
            line = await self._reader.readline()
            message = json.loads(line) if line else None
        except (ValueError, OSError) as error:
            self.died = True
            raise ProcessDied(f"its process said what nobody understands ({type(error).__name__})") from error
        if not isinstance(message, dict):
            self.died = True
            raise ProcessDied(await self._how_it_ended())
        return message

    async def _how_it_ended(self) -> str:
        process = self._process
        if process is None:
            return "its process was not started"
        try:
            async with asyncio.timeout(ENDING):
                code = await process.wait()
        except TimeoutError:
            return "its process closed the connection to its parent"
        if self._said > MOST_OUTPUT:
            return f"it printed more than {MOST_OUTPUT:,} bytes and was ended"
        if code >= 0:
            return f"its process ended with the code {code}, by os._exit or a library"
        name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
        return f"its process was ended by {name}" + (": was the memory short?" if -code == signal.SIGKILL else "")

    def _read_output(self) -> None:
        """Logs what the job printed."""
        while self._output is not None:
            try:
                block = os.read(self._output, 65_536)
            except BlockingIOError:
                return
            if not block:
                asyncio.get_running_loop().remove_reader(self._output)
                return
            self._show(block)
            if self._said > MOST_OUTPUT:
                self._signal()
                return

    def _show(self, block: bytes) -> None:
        shown = block[: max(0, SHOWN_OUTPUT - self._said)]
        for line in shown.decode(errors="replace").splitlines():
            if line.strip():
                logger.info("%s", line, extra=self._about)
        before, self._said = self._said, self._said + len(block)
        if before <= SHOWN_OUTPUT < self._said:
            what = self._about.get("job", "a process")
            logger.warning("%s prints more than %d bytes; the rest is left out", what, SHOWN_OUTPUT, extra=self._about)

    def _log(self, message: Mapping[str, Any]) -> None:
        name, level, said = str(message["name"]), int(message["level"]), str(message["message"])
        self._said += len(said)
        if self._said <= SHOWN_OUTPUT:
            logging.getLogger(name).log(level, "%s", said, extra=self._about)
        elif self._said > MOST_OUTPUT:
            self._signal()


def _place(mark: Mark) -> dict[str, str]:
    return {"module": mark.function.__module__, "name": mark.name, "origin": mark.origin}


def _returned(message: Mapping[str, Any]) -> Returned:
    if message.get("kind") == "returned":
        return Returned(message.get("value"))
    name, text = str(message.get("type")), str(message.get("text"))
    match name:
        case "Retry":
            return Returned(error=Retry(text, after=message.get("after") or 0))
        case "Reject":
            return Returned(error=Reject(text))
        case "Fault":
            return Returned(error=Fault(text))
    error: Exception = type(name, (Exception,), {})(text)
    if trace := message.get("trace"):
        error.add_note(f"In the job's process:\n{trace}")
    return Returned(error=error)
