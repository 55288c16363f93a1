"""One worker process, seen from the service: it is started, given jobs, watched and ended.

What comes out of it is hostile: a length that is too large, a frame that nobody asked for or an answer to another job
ends the process.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from runtime.services.sandbox.errors import WorkerDied, WorkerFailed
from runtime.services.sandbox.frames import SMALL, FrameReader
from runtime.services.sandbox.guard import Guard
from runtime.services.sandbox.order import Answer
from runtime.services.sandbox.reaping import reaped
from runtime.services.sandbox.worker.protocol import packed

if TYPE_CHECKING:
    import socket
    import subprocess

    from runtime.services.sandbox.launch import Launch
    from runtime.services.sandbox.order import Order

WorkerStatus = Literal["inactive", "starting", "idle", "processing", "terminating"]

BOOT_LIMIT: Final = 60.0
"""Seconds in which a process must be ready, on a machine that is busy."""
RENEWAL: Final = 5.0
"""Seconds in which a worker must be ready for its next job."""
SILENCE: Final = 3.0
"""Seconds in which an idle worker must answer a ping."""
MOST: Final = 1 << 40
"""Seconds or bytes: a figure that is larger is a lie."""


class WorkerProcess(asyncio.Protocol):
    """A worker.

    Args:
        launch: what it is started with.
    """

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.status: WorkerStatus = "inactive"
        self.jobs = 0
        self.facts: dict[str, Any] = {}
        """What it said of itself when it was ready: V8, layers of confinement."""
        self.since = time.monotonic()
        """When it took its status."""
        self.recycle = False
        """Whether it should take no further job."""
        self.first = 0
        """Bytes of memory that it had when it was ready."""
        self.size = 0
        """Bytes of memory that it had when it was last ready for a job."""
        self.peak = 0
        """The most memory it has ever had, once it has ended."""
        self.exit_code: int | None = None
        self.guard = Guard(self.kill)
        self.gone = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader()
        self._ready: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._answer: asyncio.Future[Answer] | None = None
        self._renewed: asyncio.Future[None] | None = None
        self._digest: asyncio.Future[bytes] | None = None
        self._number = 0
        self._pinged: float | None = None
        self._cause = "signal"
        self._process: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.Transport | None = None
        self._reaper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Returns when it can take a job.

        Raises:
            WorkerFailed: it cannot.
        """
        if self.gone.is_set():
            raise WorkerFailed("it was ended before it started")
        self._become("starting")
        self._process, ours = self.launch.start()
        self.guard.meet(self.pid)
        self._reaper = self._loop.create_task(self._reap(self._process))
        try:
            await self._connect(ours)
            async with asyncio.timeout(BOOT_LIMIT):
                self.facts = await self._ready
        except TimeoutError:
            self.kill()
            raise WorkerFailed(f"it was not ready within {BOOT_LIMIT:g} s") from None
        except (WorkerDied, OSError) as error:
            self.kill()
            await self.gone.wait()
            raise WorkerFailed(f"it ended while it started (exit code {self.exit_code}): {error}") from None
        except BaseException:
            self.kill()
            raise
        self.guard.rested(int(self.facts.get("peak", 0)))
        self.first = self.size = self.guard.resident()
        self._become("idle")

    def reserve(self) -> None:
        """Takes an idle worker for a job, which follows."""
        self._become("processing")

    async def run(self, order: Order, *, allowance: int) -> Answer:
        """Runs a job on a worker that has been reserved.

        Args:
            allowance: bytes that the process may grow by before it is killed.

        Raises:
            WorkerDied: it ended meanwhile, or had to be ended.
        """
        self.jobs += 1
        self._number += 1
        if self.status != "processing":
            raise WorkerDied(self._cause)
        self._answer = self._loop.create_future()
        self._renewed = self._loop.create_future()
        self._reader.largest = 8 * order.output + SMALL
        head = {
            "kind": "job",
            "id": self._number,
            "code": len(order.code),
            "timeout": order.timeout,
            "memory": order.memory,
            "output": order.output,
        }
        self._send(head, order.code + order.input)
        self.guard.begin(self.size, allowance, order.timeout)
        try:
            return await self._answer
        finally:
            self.guard.end()

    async def renewed(self) -> bool:
        """Waits until it can take its next job; False where it cannot."""
        if self._renewed is None:
            return False
        try:
            async with asyncio.timeout(RENEWAL):
                await self._renewed
        except (TimeoutError, WorkerDied):
            self.kill()
            return False
        if self.status != "processing":
            return False
        self.size = self.guard.resident() or self.size
        self._become("idle")
        return True

    async def digest(self) -> bytes:
        """What the state of an idle worker comes to: equal whenever it is the same.

        Raises:
            WorkerDied: it ended meanwhile.
        """
        self._digest = self._loop.create_future()
        self._reader.largest = 1 << 20
        self._send({"kind": "digest"})
        return await self._digest

    def ping(self) -> None:
        """Asks an idle worker for a sign of life; one that owed the last one for too long is killed."""
        now = self._loop.time()
        if self._pinged is None:
            self._pinged = now
            self._send({"kind": "ping"})
        elif now - self._pinged > SILENCE:
            self.kill()

    def end(self) -> None:
        """Lets it go: it ends when its socket is closed."""
        if self.status != "terminating":
            self._become("terminating")
            if self._transport is not None:
                self._transport.close()
            self._loop.call_later(1.0, self._kill_late)

    def kill(self, cause: str = "signal") -> None:
        """Ends it at once; whoever waits for its answer gets `WorkerDied`."""
        self._cause = cause
        if self.status != "inactive":
            self._become("terminating")
        if self._process is None:
            self.gone.set()
        elif self._process.returncode is None:
            self._process.kill()
        if self._transport is not None:
            self._transport.abort()
        self._abandon()

    # -- the socket --------------------------------------------------------------------------------------------------

    async def _connect(self, ours: socket.socket) -> None:
        await self._loop.create_unix_connection(lambda: self, sock=ours)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.frames(data):
                self._receive(frame.head, frame.body)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            self.kill("reply")

    def connection_lost(self, _: Exception | None) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill() if self.status != "terminating" else None
        self._abandon()

    def _receive(self, head: dict[str, Any], body: bytes) -> None:
        match head["kind"]:
            case "ready" if not self._ready.done():
                self._ready.set_result(head)
            case "failed" if not self._ready.done():
                self._ready.set_exception(WorkerFailed(_text(head["reason"])))
            case "pong" if self._pinged is not None:
                self._pinged = None
            case "digest" if self._digest and not self._digest.done():
                self._digest.set_result(body)
            case "answer" if self._answer and not self._answer.done() and head["id"] == self._number:
                self._answer.set_result(self._answered(head, body))
            case "renewed" if self._answer and self._answer.done() and self._renewed and not self._renewed.done():
                self.guard.rested(int(head["peak"]))
                self._renewed.set_result(None)
            case _:
                raise ValueError("a frame that nobody asked for")

    def _answered(self, head: dict[str, Any], body: bytes) -> Answer:
        self.guard.answered(int(head["peak"]))
        self.recycle = self.recycle or bool(head["recycle"])
        duration = min(max(0.0, float(head["duration"])), MOST)
        memory = min(max(0, int(head["memory"])), MOST)
        return Answer(_text(head["outcome"]), body, duration, memory, min(self.guard.grown, MOST))

    def _send(self, head: dict[str, Any], body: bytes = b"") -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(packed(head, body))

    # -- the end -----------------------------------------------------------------------------------------------------

    def _become(self, status: WorkerStatus) -> None:
        self.status = status
        self.since = time.monotonic()

    def _kill_late(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def _abandon(self) -> None:
        """Tells whoever waits for it that it has ended."""
        self.guard.end()
        for waiting in (self._ready, self._answer, self._renewed, self._digest):
            if waiting is not None and not waiting.done():
                waiting.set_exception(WorkerDied(self._cause))
                waiting.exception()  # it may be that nobody waits any more

    async def _reap(self, process: subprocess.Popen[bytes]) -> None:
        self.peak = await reaped(process)
        self.exit_code = process.returncode
        if self._transport is not None:
            self._transport.abort()
        self._abandon()
        self._become("inactive")
        self.gone.set()


def _text(value: Any) -> str:
    return str(value)[:1000]
