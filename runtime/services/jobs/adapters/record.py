"""A job as Redis keeps it: the fields of SAQ's `Job`, without those that are as SAQ sets them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtime.services.jobs.ports import Author  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from runtime.services.jobs.backend import NewJob
    from runtime.services.jobs.ports import JobStatus

FUNCTION: Final = "run"
"""What SAQ calls the function of every job: a queue has one handler."""

ENDED: Final[dict[str, JobStatus]] = {"complete": "completed", "failed": "failed", "aborted": "cancelled"}
"""SAQ's names of the states in which a job has ended."""

FINAL: Final[dict[str, str]] = {status: name for name, status in ENDED.items()}


class Parent(msgspec.Struct, omit_defaults=True):
    """The job that waits for this one.

    Args:
        run: whether it runs even when this one fails.
        usual: the priority that it has unless it was given one.
    """

    base: str
    id: str
    usual: int
    run: bool = False


class Meta(msgspec.Struct, omit_defaults=True):
    """What a job was given beyond SAQ's own fields."""

    key: str | None = None
    group: str = ""
    priority: int | None = None
    owner: str | None = None
    by: Author | None = None
    trace: str | None = None
    premium: bool = False
    timeout: float | None = None
    backoff: float | None = None
    paused_before: bool = False
    message: str = ""
    saved: Any = None
    parent: Parent | None = None
    children: list[str] = []


class Record(msgspec.Struct, omit_defaults=True):
    """A job's record. Moments are milliseconds since the epoch, as SAQ has them.

    `attempts` counts the tries that have come to an end.
    """

    kwargs: dict[str, Any] = {}
    status: str = "queued"
    retries: int = 1
    attempts: int = 0
    scheduled: float = 0.0
    queued: int = 0
    started: int = 0
    touched: int = 0
    completed: int = 0
    progress: float = 0.0
    result: Any = None
    error: str | None = None
    meta: Meta = msgspec.field(default_factory=Meta)

    @property
    def payload(self) -> dict[str, Any]:
        """What the handler gets."""
        found: dict[str, Any] = self.kwargs.get("payload", {})
        return found


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def encoded(record: Record) -> bytes:
    """A record as it is stored."""
    return _encoder.encode(record)


def decoded(stored: bytes | None) -> Record | None:
    """The record that was stored; None where there is none, or where it cannot be read."""
    if not stored:
        return None
    try:
        return _decoder.decode(stored)
    except msgspec.MsgspecError:
        return None


def record_of(job: NewJob) -> Record:
    """A new job's record."""
    return Record(
        kwargs={"payload": job.payload},
        retries=job.attempts,
        scheduled=job.scheduled,
        queued=milliseconds(),
        meta=Meta(
            key=job.key,
            group=job.group,
            priority=job.priority,
            owner=job.owner,
            by=job.by,
            trace=job.trace,
            premium=job.premium,
            timeout=job.timeout,
            backoff=job.backoff,
            children=list(job.children),
        ),
    )


def milliseconds() -> int:
    """Now."""
    return int(time.time() * 1000)


def moment(then: int) -> datetime | None:
    """A moment of a record."""
    return datetime.fromtimestamp(then / 1000, UTC) if then else None
