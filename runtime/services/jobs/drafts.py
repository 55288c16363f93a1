"""From a draft to jobs that can be stored: every option is checked, every refusal points at its place."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from runtime.errors import Invalid, Pointer, TooLarge
from runtime.services.jobs.backend import NewJob
from runtime.services.jobs.payload import AT
from runtime.services.jobs.ports import MOST_PRIORITY, REMEMBERED, Draft
from runtime.services.jobs.priority import priority_of
from runtime.services.jobs.times import LONGEST_DELAY, ahead
from runtime.services.names import seconds, time_ordered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.services.jobs.spec import QueueSpec

LARGEST_PAYLOAD: Final = 1_000_000
LONGEST_NAME: Final = 200
MOST_ATTEMPTS: Final = 1_000

_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def new_job(queue: str, spec: QueueSpec, draft: Draft) -> NewJob:
    """The job of a draft, without its children and its parent.

    Raises:
        Invalid: an option is wrong; with a pointer to it.
        TooLarge: the payload is over 1 MB as JSON.
    """
    delay = ahead(draft.delay, draft.run_at) if draft.delay is not None or draft.run_at is not None else 0.0
    if draft.key is not None or draft.once is not None or draft.group is not None or draft.owner is not None:
        for name in ("key", "once", "group", "owner"):
            _require_name(name, getattr(draft, name))
    require_size(draft.payload)
    job = NewJob(
        id=f"{queue}.{time_ordered()}",
        queue=queue,
        payload=draft.payload,
        attempts=spec.retry.attempts,
        delay=delay,
        scheduled=time.time() + delay if delay else 0.0,
        key=draft.key,
        once=draft.once,
        once_ttl=REMEMBERED,
        usual=spec.priority,
        group=draft.group or "",
        owner=draft.owner,
        by=draft.by,
    )
    options = dict(_options(spec, draft))
    return replace(job, **options) if options else job


def _options(spec: QueueSpec, draft: Draft) -> Iterator[tuple[str, Any]]:
    """What only some jobs are given."""
    if draft.key is not None:
        policy = draft.on_duplicate or spec.dedupe.policy
        yield "on_duplicate", policy
        if policy in ("debounce", "throttle"):
            window = spec.dedupe.window if draft.window is None else _span("window", draft.window)
            if window <= 0:
                raise _wrong("window", f"`{policy}` needs a time above zero", 'Give `window`, such as "30s".')
            yield "window", window
    elif draft.on_duplicate or draft.window is not None:
        raise _wrong("key", "`on_duplicate` and `window` need a `key`", "Give the job a key.")
    if draft.priority is not None or draft.marks:
        yield "priority", _priority(spec, draft)
    if "premium" in draft.marks:
        yield "premium", True
    if draft.timeout is not None:
        timeout = _span("timeout", draft.timeout)
        if timeout <= 0:
            raise _wrong("timeout", "above zero", "Give the time that one try may take.")
        yield "timeout", timeout
    if draft.attempts is not None:
        if not 1 <= draft.attempts <= MOST_ATTEMPTS:
            raise _wrong("retry/attempts", f"1 to {MOST_ATTEMPTS:,}", "Count the first try as one.")
        yield "attempts", draft.attempts
    if draft.backoff is not None:
        yield "backoff", _span("retry/backoff", draft.backoff)
    if draft.children:
        yield "awaits", len(draft.children)


def _priority(spec: QueueSpec, draft: Draft) -> int:
    priority = priority_of(spec, draft.marks, named=draft.priority)
    if not -MOST_PRIORITY <= priority <= MOST_PRIORITY:
        raise _wrong("priority", f"from {-MOST_PRIORITY} to {MOST_PRIORITY}", "Lower runs first.")
    return priority


def require_size(payload: Any, what: str = "the payload", at: str = AT) -> None:
    """Refuses what cannot be kept.

    Raises:
        Invalid: it is no JSON.
        TooLarge: it is over 1 MB as JSON.
    """
    try:
        size = len(_json(payload).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"{what} is no JSON: {error}", errors=[Pointer(at, str(error))]) from error
    if size > LARGEST_PAYLOAD:
        raise TooLarge(
            f"{what} has {size:,} bytes as JSON, a job takes at most {LARGEST_PAYLOAD:,}",
            remedy="Store the bulk elsewhere and put its address into the payload.",
        )


def _span(name: str, value: str | float) -> float:
    found = seconds(value) if isinstance(value, str) else float(value)
    if found is None or not 0 <= found <= LONGEST_DELAY:
        raise _wrong(name, "a number and its unit, such as 30s, 15m or 24h", 'Write it as "30s".')
    return found


def _wrong(name: str, detail: str, remedy: str) -> Invalid:
    return Invalid(f"`{name.rpartition('/')[2]}`: {detail}", errors=[Pointer(f"/{name}", detail)], remedy=remedy)


def require_alone(job: NewJob) -> None:
    """Refuses a member of a family that another job could stand for: whoever waits for it would wait for ever.

    Raises:
        Invalid: it has a key whose policy is not `reject`.
    """
    if job.key is not None and job.on_duplicate != "reject":
        detail = f"`{job.on_duplicate}` is not for a job that has children or is a child"
        raise _wrong("on_duplicate", detail, "Use `reject`, or leave out the key.")


def _require_name(name: str, value: str | None) -> None:
    if value is not None and not value.isascii() and any("\ud800" <= each <= "\udfff" for each in value):
        raise _wrong(name, "half a character (a lone surrogate)", "Send valid UTF-8.")
    if value is not None and not 0 < len(value) <= LONGEST_NAME:
        raise Invalid(
            f"a job's {name} has 1 to {LONGEST_NAME} characters, this one has {len(value)}",
            errors=[Pointer(f"/{name}", f"1 to {LONGEST_NAME} characters")],
        )
