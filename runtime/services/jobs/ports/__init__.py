"""What other services and the user's own tasks may use of the job queues."""

from runtime.services.jobs.ports.job import (
    ENDED,
    MOST_PRIORITY,
    REMEMBERED,
    Author,
    Draft,
    Duplicate,
    JobStatus,
    JobView,
)
from runtime.services.jobs.ports.queues import Jobs, QueueView, Refusal, Replayed
from runtime.services.jobs.ports.task import JobContext, Reject, Retry

__all__ = [
    "Author",
    "Draft",
    "Duplicate",
    "ENDED",
    "JobContext",
    "JobStatus",
    "JobView",
    "Jobs",
    "MOST_PRIORITY",
    "QueueView",
    "REMEMBERED",
    "Refusal",
    "Reject",
    "Replayed",
    "Retry",
]
