"""The running job, as its handler sees it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from runtime.errors import Invalid, NotBuilt

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from runtime.services.events.ports import Events
    from runtime.services.jobs.backend import Claimed
    from runtime.services.jobs.ports import Jobs, JobView
    from runtime.services.sandbox.ports import Sandbox


T = TypeVar("T")


class RunningJob:
    """Implements `JobContext`.

    A handler that runs in a thread calls the same methods through `wait`.

    Args:
        claimed: the job.
        jobs: where further jobs go.
        events: where events go; None where the spec has no event bus.
        sandbox: where untrusted code runs; None where the spec has no sandbox.
    """

    def __init__(self, claimed: Claimed, jobs: Jobs, events: Events | None, sandbox: Sandbox | None = None) -> None:
        self._sandbox = sandbox
        self._claimed = claimed
        self._jobs = jobs
        self._events = events
        self._loop = asyncio.get_running_loop()

    @property
    def id(self) -> str:
        return self._claimed.id

    @property
    def queue(self) -> str:
        return self._claimed.queue

    @property
    def attempt(self) -> int:
        return self._claimed.attempt

    @property
    def attempts(self) -> int:
        """Tries in all."""
        return self._claimed.attempts

    @property
    def sandbox(self) -> Sandbox:
        if self._sandbox is None:
            raise NotBuilt("running code from a job without a `sandbox` in the spec")
        return self._sandbox

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Waits for one of the other methods from a thread: `job.wait(job.progress(0.5))`."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def progress(self, fraction: float, message: str = "") -> None:
        if not 0 <= fraction <= 1:
            raise Invalid(f"progress runs from 0 to 1, not {fraction:g}", remedy="Divide by the whole.")
        await self._claimed.tell(fraction, message)

    async def enqueue(self, queue: str, payload: Mapping[str, Any], *, delay: float = 0.0) -> JobView:
        return await self._jobs.enqueue(queue, payload, delay=delay)

    async def publish(self, stream: str, type: str, data: Mapping[str, Any]) -> str:  # noqa: A002
        if self._events is None:
            raise NotBuilt("publishing from a job without an event bus")
        return (await self._events.publish(stream, type, data)).id
