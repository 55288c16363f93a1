"""Jobs as they travel over HTTP: what the API takes and answers, for its routes and for its clients."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from runtime.errors import Invalid, Pointer
from runtime.services.jobs.drafts import require_size
from runtime.services.jobs.payload import AT, plain
from runtime.services.jobs.ports import Author, Draft, Duplicate


class Retry(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """How a single job is tried again; what is left out is as the queue says.

    Args:
        attempts: tries in all.
        backoff: the pause before the second try, `"10s"`.
    """

    attempts: int | None = None
    backoff: str | None = None


class JobRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A job to be stored; what is left out is as the queue says.

    Args:
        payload: what the queue's task gets.
        queue: of a child: the queue that it goes to, unless it is that of its parent.
        delay: how long to wait before it may run, `"30s"`.
        run_at: when it may run, with an offset from UTC; instead of `delay`.
        key: a name that only one unfinished job of the queue may have.
        on_duplicate: what happens where one has it: `reject`, `replace`, `debounce` or `throttle`.
        window: the time of `debounce` and `throttle`, `"30s"`.
        priority: lower runs first.
        marks: what it is, such as `premium`; each changes its priority by the queue's `priority_by`.
        group: whose turn it takes.
        owner: who is told when it runs for long.
        timeout: how long one try may take, `"30s"`.
        retry: how often and how soon it is tried again.
        children: jobs for which it waits.
        runs_anyway: whether it runs even when a child fails.
    """

    payload: dict[str, Any] = {}
    queue: str | None = None
    delay: str | None = None
    run_at: datetime | None = None
    key: str | None = None
    on_duplicate: Duplicate | None = None
    window: str | None = None
    priority: int | None = None
    marks: list[str] = []
    group: str | None = None
    owner: str | None = None
    timeout: str | None = None
    retry: Retry | None = None
    children: list[JobRequest] = []
    runs_anyway: bool = False

    def draft(self, by: Author | None = None) -> Draft:
        """The job as the queues take it.

        Args:
            by: who puts it in; its children are theirs, too.
        """
        return Draft(
            payload=self.payload,
            queue=self.queue,
            delay=self.delay,
            run_at=self.run_at,
            key=self.key,
            on_duplicate=self.on_duplicate,
            window=self.window,
            priority=self.priority,
            marks=self.marks,
            group=self.group,
            owner=self.owner,
            timeout=self.timeout,
            attempts=self.retry.attempts if self.retry else None,
            backoff=self.retry.backoff if self.retry else None,
            children=[child.draft() for child in self.children],
            runs_anyway=self.runs_anyway,
            by=by,
        )

    @classmethod
    def of(cls, draft: Draft) -> JobRequest:
        """The other way round: what is sent for a draft.

        Raises:
            Invalid: its payload is no JSON.
            TooLarge: it is over 1 MB as JSON.
        """
        tries = Retry(draft.attempts, _span(draft.backoff))
        return cls(
            payload=_object(draft.payload),
            queue=draft.queue,
            delay=_span(draft.delay),
            run_at=draft.run_at,
            key=draft.key,
            on_duplicate=draft.on_duplicate,
            window=_span(draft.window),
            priority=draft.priority,
            marks=list(draft.marks),
            group=draft.group,
            owner=draft.owner,
            timeout=_span(draft.timeout),
            retry=None if tries == Retry() else tries,
            children=[cls.of(child) for child in draft.children],
            runs_anyway=draft.runs_anyway,
        )


class JobBatch(msgspec.Struct, forbid_unknown_fields=True):
    """Jobs to be stored, all or none; at most 1,000, children counted."""

    jobs: list[JobRequest]


class JobAccepted(msgspec.Struct):
    """A job that has been stored: its id and its status.

    Args:
        duplicate: where another job stands for it, whose id this is: `replaced` where that one waits with this one's
            payload, `throttled` where this one was not stored.
    """

    id: str
    status: str
    duplicate: str | None = None


class JobsAccepted(msgspec.Struct):
    """Jobs that have been stored, in the order of the request."""

    items: list[JobAccepted]


def _span(value: str | float | None) -> str | None:
    """A duration as the API takes it."""
    return f"{value:.9f}s" if isinstance(value, int | float) else value


def _object(payload: Any) -> dict[str, Any]:
    """The JSON values of a payload: of a mapping, a dataclass, a Struct, a pydantic model."""
    try:
        values = plain(payload)
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"the payload is no JSON: {error}", errors=[Pointer(AT, str(error))]) from error
    if not isinstance(values, dict):
        said = f"an object is needed, not {type(payload).__name__}"
        raise Invalid(f"the payload is no JSON object: {said}", errors=[Pointer(AT, said)])
    require_size(values)
    return values
