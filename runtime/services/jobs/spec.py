"""The `queues` and `schedules` sections, and the queues that exist without being declared."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Strict

from runtime.services.jobs.ports import MOST_PRIORITY
from runtime.spec.fields import Live, Named, Ref, Retry, Section, Values, section, setting
from runtime.spec.kinds import (
    Cron,
    Duration,
    DurationOrZero,
    Integer,
    Natural,
    PathField,
    Positive,
    Rate,
    Size,
    Text,
    TimeZone,
)

Priority = Annotated[int, Strict(), Field(ge=-MOST_PRIORITY, le=MOST_PRIORITY)]


class ConcurrencyRange(Section):
    """How many jobs run at once: as many as the backlog asks for, between two bounds."""

    min: Positive = setting(1, "At least so many.", example=2)
    max: Positive = setting(..., "At most so many, over all machines.", example=50)


class DedupeSpec(Section):
    """What happens to a job whose key another unfinished one of the queue has."""

    policy: Literal["reject", "replace", "debounce", "throttle"] = setting(
        "reject",
        "`reject` refuses it; `replace` gives its payload to the one that waits; `debounce` does so and lets it wait "
        "for the window anew; `throttle` lets the first of each window stand for the others.",
        example="debounce",
    )
    window: DurationOrZero = setting("0s", "The time of `debounce` and of `throttle`.", example="30s")


class GroupsSpec(Section):
    """Limits of one group of a queue's jobs, such as those of one tenant; over all workers."""

    concurrency: Live[Positive | None] = setting(None, "How many jobs of one group run at once.", example=2)
    rate: Live[Rate | None] = setting(None, "How many jobs of one group begin in a unit of time.", example="10/s")


class DeadLetterSpec(Section):
    """What happens to jobs whose last try failed."""

    ttl: Duration = setting("7d", "How long they are kept for a look and a replay.", example="30d")


class QueueLimits(Section):
    """Figures of a queue above which its health changes."""

    failed: Natural = setting(..., "More failed jobs than this.", example=25)
    waiting: Natural = setting(..., "More waiting jobs than this.", example=1000)


class QueueHealthSpec(Section):
    """When a queue counts as degraded, and when as down."""

    degraded: QueueLimits = setting(
        {"failed": 0, "waiting": 500}, "It is degraded above these.", example={"failed": 5, "waiting": 500}
    )
    down: QueueLimits = setting(
        {"failed": 25, "waiting": 1000}, "It is down above these.", example={"failed": 50, "waiting": 5000}
    )


class QueueSpec(Section):
    """A queue, and how its jobs are run."""

    handler: Annotated[Text, Ref("handlers")] = setting(
        ...,
        "What runs the jobs: the name of a `@task` in a plugin, or a built-in handler.",
        example="images.resize",
    )
    concurrency: Live[Positive | ConcurrencyRange] = setting(
        5,
        "How many jobs a worker runs at once; or bounds between which it follows the backlog, over all workers.",
        example={"min": 1, "max": 10},
    )
    timeout: Duration = setting("5m", "How long one try of a job may take.", example="60s")
    memory: Size | None = setting(
        None,
        "Memory that a process of a task with `process=True` may have: a job that wants more fails, and a process that "
        "keeps half of it after a job is replaced.",
        example="512MB",
    )
    lease: Duration = setting(
        "10s",
        "How long a worker owns a job without a sign of life; renewed while the job runs.",
        example="30s",
    )
    retry: Retry = section("How often and how soon a failed job is tried again.")
    max_stalled: Natural = setting(
        3, "How often a job may lose its worker before it goes to the dead letters.", example=1
    )
    rate: Live[Rate | None] = setting(
        None,
        "Jobs started in a unit of time, over all workers; of mail, push and text messages: messages.",
        example="30/m",
    )
    priority: Priority = setting(0, "The priority of a job that names none; lower runs first.", example=100)
    priority_by: Named[Integer] = setting(
        {}, "What each mark of a job adds to its priority.", example={"person": -20, "premium": -5}
    )
    dedupe: DedupeSpec = section("What happens to a job whose key another unfinished one of the queue has.")
    groups: GroupsSpec = section("Limits of one group of jobs, such as those of one tenant.")
    payload: PathField | None = setting(
        None,
        "A JSON Schema that payloads must fit, besides the handler's own type.",
        example="schemas/jobs/resize.json",
    )
    drain: DurationOrZero = setting(
        "30s",
        "How long running jobs may take to finish when the runtime stops; then they go back into the queue.",
        example="2m",
    )
    long_running: Duration | None = setting(
        None, "After this time a job is reported to its owner, then paused once, then stopped.", example="60s"
    )
    result_ttl: Duration = setting("24h", "How long a finished job and its result are kept.", example="1h")
    keep: Natural = setting(5000, "How many finished jobs are kept at most.", example=100)
    dead_letter: DeadLetterSpec = section("What happens to jobs whose last try failed.")
    health: QueueHealthSpec = section("When the queue counts as degraded, and when as down.")


class ScheduleSpec(Section):
    """A job that is enqueued at set times."""

    queue: Annotated[Text, Ref("queues")] = setting(..., "The queue it goes to.", example="export")
    cron: Cron = setting(..., "When: minute, hour, day of month, month, day of week.", example="17 3 * * *")
    timezone: TimeZone = setting("UTC", "The time zone in which `cron` is read.", example="Europe/Vienna")
    payload: Values = setting({}, "What the handler gets.", example={"scope": "audit"})


BUILT_IN_QUEUES: dict[str, dict[str, Any]] = {
    "email": {"handler": "notifications.email", "concurrency": 5, "timeout": "60s"},
    "push": {"handler": "notifications.push", "concurrency": 10, "timeout": "30s"},
    "sms": {"handler": "notifications.sms", "concurrency": 3, "timeout": "30s", "rate": "30/m"},
    "notification": {"handler": "notifications.in_app", "concurrency": 5, "timeout": "30s"},
    "swarm": {
        "handler": "routines.swarm",
        "concurrency": {"min": 1, "max": 10},
        "timeout": "10m",
        "drain": "30s",
        "long_running": "60s",
        "priority": 100,
        "priority_by": {"premium": -20},
    },
    "run": {
        "handler": "routines.run",
        "concurrency": {"min": 1, "max": 1000},
        "timeout": "2h",
        "drain": "10s",
        "long_running": "60s",
        "priority": 100,
        "priority_by": {
            "person": -20,
            "api": -16,
            "chat": -14,
            "webhook": -10,
            "bot": -7,
            "schedule": -3,
            "test": -1,
            "time_sensitive": -15,
            "premium": -5,
            "resumed": -10,
        },
    },
    "sandbox": {"handler": "sandbox.execute", "concurrency": 5, "timeout": "5s", "retry": {"attempts": 1}},
    "import": {"handler": "transfers.import", "concurrency": 2, "timeout": "1h"},
    "export": {"handler": "transfers.export", "concurrency": 2, "timeout": "1h"},
}
"""The queues that exist without being named; what a spec says of one is laid over its figures."""

BUILT_IN_HANDLERS = tuple(sorted({str(queue["handler"]) for queue in BUILT_IN_QUEUES.values()}))
"""Handlers that a queue may name without a plugin."""
