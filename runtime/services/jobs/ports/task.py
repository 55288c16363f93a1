"""What a task sees of the job that it runs, and how it may end the try."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from runtime.services.ai.ports import BoundAi
from runtime.services.events.ports import Events
from runtime.services.jobs.ports.job import Author, JobView
from runtime.services.jobs.ports.queues import Jobs
from runtime.services.notifications.ports import Audience, Notice, Notifications, Notified
from runtime.services.outbox.ports import Transaction
from runtime.services.sandbox.ports import Sandbox


class JobContext(Protocol):
    """The running job, as its handler sees it: the first argument of every task."""

    @property
    def id(self) -> str: ...

    @property
    def queue(self) -> str: ...

    @property
    def attempt(self) -> int:
        """1 at the first try."""
        ...

    @property
    def attempts(self) -> int:
        """Tries in all."""
        ...

    @property
    def owner(self) -> str | None: ...

    @property
    def cancelled(self) -> bool:
        """Whether the job has been told to end; for a plain function, which nothing interrupts."""
        ...

    @property
    def saved(self) -> Any:
        """What an earlier try has stored by `save`; None where none has."""
        ...

    @property
    def by(self) -> Author | None:
        """Who has put it in, as the API knows them; None where nobody has, as with a schedule. `owner` is only what
        they say."""
        ...

    @property
    def jobs(self) -> Jobs:
        """The queues, for what goes beyond `enqueue`: jobs with options, jobs that are waited for."""
        ...

    @property
    def events(self) -> Events:
        """The event bus, for what goes beyond `publish`: keys, ids, replay."""
        ...

    @property
    def sandbox(self) -> Sandbox:
        """Runs untrusted code."""
        ...

    @property
    def ai(self) -> BoundAi:
        """Asks models: `await job.ai.chat({"model": "default", "messages": […]})`. Whoever has put the job in pays, by
        the budgets, limits and credits of their key; a job that nobody has put in names a `user`."""
        ...

    @property
    def notifications(self) -> Notifications:
        """Inboxes, receipts and settings of users; `notify` is the short way to tell them something."""
        ...

    async def notify(self, notice: Notice, to: Audience) -> Notified:
        """Tells people what happens; when it returns, it is stored. Another try of the job tells it once more, unless
        the notice has a `key`.

        Raises:
            As `Notify.notify`.
        """
        ...

    async def progress(self, fraction: float, message: str = "") -> None:
        """Tells how far the job has come, from 0 to 1."""
        ...

    async def save(self, value: Any) -> None:
        """Stores what a later try may go on from; JSON values only, 1 MB at most.

        Raises:
            Invalid: it is no JSON, or too large.
            Unreachable: Redis does not answer.
        """
        ...

    async def children(self) -> list[JobView]:
        """The jobs for which it has waited, with their results, as far as they are still kept."""
        ...

    async def enqueue(self, queue: str, payload: Mapping[str, Any], *, delay: float = 0.0) -> JobView:
        """Puts another job into a queue."""
        ...

    def announce(self, stream: str, type: str, data: Mapping[str, Any], *, key: str | None = None) -> None:  # noqa: A002
        """Publishes an event in the same step that stores this job's completion: if it completes, and once.

        Raises:
            As `Events.publish`, at once: what its stream does not take is known before.
        """
        ...

    async def publish(self, stream: str, type: str, data: Mapping[str, Any]) -> str:  # noqa: A002
        """Publishes an event; returns its id."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction of the environment's database; see `Transaction`. For `async` tasks."""
        ...


class Retry(Exception):  # noqa: N818 - an instruction, not a failure
    """Raised by a task to choose the next try.

    Args:
        after: a duration such as `"30s"`, or seconds.
        reason: what the job's record says.
    """

    def __init__(self, reason: str = "", *, after: str | float = 0.0) -> None:
        super().__init__(reason or "the task asked for another try")
        self.after = after


class Reject(Exception):  # noqa: N818 - an instruction, not a failure
    """Raised by a task whose job can never succeed: no further try is made.

    Args:
        reason: what the job's record says.
    """
