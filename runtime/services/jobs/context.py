"""The running job, as its handler sees it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from runtime.errors import Invalid, NotBuilt, NotFound
from runtime.services.ai.ports import BoundAi
from runtime.services.jobs.drafts import require_size
from runtime.services.jobs.ports import Draft

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from runtime.services.ai.ports import Ai
    from runtime.services.events.ports import Announcement, Events
    from runtime.services.jobs.claiming import Claimed
    from runtime.services.jobs.ports import Author, Jobs, JobView
    from runtime.services.notifications.ports import Audience, Notice, Notifications, Notified
    from runtime.services.outbox.ports import Transaction, Transactions
    from runtime.services.sandbox.ports import Sandbox

logger = logging.getLogger("runtime.jobs")

T = TypeVar("T")


class RunningJob:
    """Implements `JobContext`.

    A handler that runs in a thread calls the same methods through `wait`.

    Args:
        claimed: the job.
        jobs: where further jobs go.
        events: where events go; None where the spec has no event bus.
        transactions: of the environment's database; None where there is none.
        sandbox: where untrusted code runs; None where the spec has no sandbox.
        ai: asks models; None where the spec has none.
        notifications: tells people things; None where the spec has no notifications.
    """

    def __init__(
        self,
        claimed: Claimed,
        jobs: Jobs,
        events: Events | None,
        transactions: Transactions | None = None,
        sandbox: Sandbox | None = None,
        ai: Ai | None = None,
        notifications: Notifications | None = None,
    ) -> None:
        self._sandbox = sandbox
        self._ai = ai
        self._notifications = notifications
        self._claimed = claimed
        self._jobs = jobs
        self._events = events
        self._transactions = transactions
        self._announced: tuple[Announcement, ...] = ()
        self._beside: tuple[tuple[str, str, Mapping[str, Any], str | None], ...] = ()

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
        return self._claimed.attempts

    @property
    def owner(self) -> str | None:
        return self._claimed.owner

    @property
    def cancelled(self) -> bool:
        return self._claimed.told

    @property
    def saved(self) -> Any:
        return self._claimed.saved

    @property
    def by(self) -> Author | None:
        return self._claimed.by

    @property
    def jobs(self) -> Jobs:
        return self._jobs

    @property
    def events(self) -> Events:
        if self._events is None:
            raise NotBuilt("events from a job without an event bus")
        return self._events

    @property
    def sandbox(self) -> Sandbox:
        if self._sandbox is None:
            raise NotBuilt("running code from a job without a `sandbox` in the spec")
        return self._sandbox

    @property
    def ai(self) -> BoundAi:
        if self._ai is None:
            raise NotBuilt("asking a model from a job without `ai` in the spec")
        by = self.by
        return BoundAi(self._ai, *(() if by is None else (by.account, by.key, by.credits)))

    @property
    def notifications(self) -> Notifications:
        if self._notifications is None:
            raise NotBuilt("notifying from a job without `notifications` in the spec")
        return self._notifications

    async def notify(self, notice: Notice, to: Audience) -> Notified:
        by = self.by.account if self.by else f"queue:{self.queue}"
        return await self.notifications.sending.notify(notice, to, by=by)

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Waits for one of the other methods from a thread: `job.wait(job.progress(0.5))`."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._claimed.loop).result()

    async def progress(self, fraction: float, message: str = "") -> None:
        if not 0 <= fraction <= 1:
            raise Invalid(f"progress runs from 0 to 1, not {fraction:g}", remedy="Divide by the whole.")
        await self._claimed.tell(fraction, message)

    async def save(self, value: Any) -> None:
        require_size(value, "what the job saves", "/saved")
        await self._claimed.save(value)

    async def children(self) -> list[JobView]:
        found = []
        for child in self._claimed.children:
            try:
                found.append(await self._jobs.get(child))
            except NotFound:
                logger.warning("%s: its child %s is no longer kept", self.id, child)
        return found

    async def enqueue(self, queue: str, payload: Mapping[str, Any], *, delay: float = 0.0) -> JobView:
        return await self._jobs.submit(queue, Draft(payload, delay=delay or None, by=self.by))

    def announce(self, stream: str, type: str, data: Mapping[str, Any], *, key: str | None = None) -> None:  # noqa: A002
        if self._events is None:
            raise NotBuilt("publishing from a job without an event bus")
        entry = self._events.entry(stream, type, data, key=key)
        if entry is None:
            self._beside += ((stream, type, data, key),)
        else:
            self._announced += (entry,)

    async def announced(self) -> Sequence[Announcement]:
        """What is published with the job's completion; events of a bus without a server are published now."""
        for stream, type_, data, key in self._beside:
            assert self._events is not None  # noqa: S101 - `announce` has seen it
            await self._events.publish(stream, type_, data, key=key)
        return self._announced

    async def publish(self, stream: str, type: str, data: Mapping[str, Any]) -> str:  # noqa: A002
        if self._events is None:
            raise NotBuilt("publishing from a job without an event bus")
        return (await self._events.publish(stream, type, data)).id

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        if self._transactions is None:
            raise NotBuilt("a transaction from a job without a database")
        return self._transactions.transaction()
