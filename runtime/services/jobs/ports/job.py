"""A job: before it is stored, and as a caller sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

if TYPE_CHECKING:
    from runtime.http.access import Caller

REMEMBERED: Final = 6 * 3600.0
"""Seconds for which a job's `once` is remembered."""

MOST_PRIORITY: Final = 2_000
"""Priorities run from minus this to this."""

JobStatus = Literal["scheduled", "blocked", "queued", "running", "paused", "completed", "failed", "cancelled"]

ENDED: Final[frozenset[JobStatus]] = frozenset({"completed", "failed", "cancelled"})

Duplicate = Literal["reject", "replace", "debounce", "throttle"]
"""What happens to a job whose key another unfinished one has; see `Draft`."""


class Author(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whoever has put a job in, as the API knows the caller: what its task asks models for is theirs to pay.

    Args:
        account: whose credits and budgets.
        key: the key that was shown, where it is not the account itself.
        credits: the most that the key may spend of the account's; None for all there are.
    """

    account: str
    key: str = ""
    credits: Decimal | None = None

    @classmethod
    def of(cls, caller: Caller) -> Author:
        """A caller of the API."""
        return cls(caller.account, caller.id if caller.id != caller.account else "", caller.credits)


class Draft(msgspec.Struct, frozen=True):
    """A job before it is stored.

    Args:
        payload: what the handler gets; JSON values only.
        queue: where it goes; None for the queue of the call.
        delay: how long to wait before it may run: a duration such as `"30s"`, or seconds.
        run_at: when it may run, with an offset from UTC; instead of `delay`.
        key: a name that only one unfinished job of the queue may have.
        on_duplicate: what happens where one has it; None for what the queue says. `reject` refuses the new job;
            `replace` gives its payload to the one that waits, and stores it beside one that runs; `debounce` does so
            and lets it wait `window` from now; `throttle` lets the first one of each `window` stand for the others.
        window: a duration or seconds, for `debounce` and `throttle`; None for what the queue says.
        once: a name that is given to one job of the queue and then to no other for `REMEMBERED` seconds.
        priority: lower runs first; None for what the queue says.
        marks: what it is (`person`, `premium`), each of which changes its priority by `priority_by` of the queue.
        group: whose turn it takes: groups of one priority are served in turn, however long their backlogs are.
        owner: who is told when it runs for long.
        timeout: how long one try may take; None for what the queue says.
        attempts: tries in all; None for what the queue says.
        backoff: the pause before the second try; None for what the queue says.
        children: jobs for which it waits; they may have children too.
        runs_anyway: whether it runs even when a child fails; otherwise it fails with it.
        by: who puts it in, and its children; None where it is the environment itself.
    """

    payload: Mapping[str, Any]
    queue: str | None = None
    delay: str | float | None = None
    run_at: datetime | None = None
    key: str | None = None
    on_duplicate: Duplicate | None = None
    window: str | float | None = None
    once: str | None = None
    priority: int | None = None
    marks: Sequence[str] = ()
    group: str | None = None
    owner: str | None = None
    timeout: str | float | None = None
    attempts: int | None = None
    backoff: str | float | None = None
    children: Sequence[Draft] = ()
    runs_anyway: bool = False
    by: Author | None = None


class JobView(msgspec.Struct, frozen=True):
    """A job as a caller sees it. Times are UTC.

    Args:
        id: `<queue>.<unique part>`, so that a job is found by its id alone.
        status: `blocked` while it waits for its children, `paused` while it is laid aside.
        attempts: tries that were begun.
        progress: from 0 to 1.
        message: what it said last of its progress.
        due_at: when it may run, where that lies ahead.
        duplicate: in the answer to an enqueue: this is another job, which stands for the new one: `replaced` where it
            waits with the new one's payload, `throttled` where the new one was not stored.
    """

    id: str
    queue: str
    status: JobStatus
    attempts: int
    max_attempts: int
    progress: float
    result: Any
    error: str | None
    enqueued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    message: str | None = None
    due_at: datetime | None = None
    owner: str | None = None
    group: str | None = None
    children: Sequence[str] = ()
    duplicate: Literal["replaced", "throttled"] | None = None
