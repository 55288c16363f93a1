"""The reference's formulas of priority, and queue health by its thresholds."""

from __future__ import annotations

import pytest

from runtime.errors import Invalid
from runtime.services.jobs.health import queue_health
from runtime.services.jobs.priority import priority_of
from runtime.services.jobs.spec import BUILT_IN_QUEUES, QueueHealthSpec, QueueSpec

RUN = QueueSpec.model_validate(BUILT_IN_QUEUES["run"])
SWARM = QueueSpec.model_validate(BUILT_IN_QUEUES["swarm"])


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ([], 100),
        (["person"], 80),
        (["api"], 84),
        (["chat"], 86),
        (["webhook"], 90),
        (["bot"], 93),
        (["schedule"], 97),
        (["test"], 99),
        (["person", "time_sensitive", "premium", "resumed"], 50),
        (["api", "premium"], 79),
        (["premium", "premium"], 95),
    ],
)
def test_priority_of_a_run(marks: list[str], expected: int) -> None:
    assert priority_of(RUN, marks) == expected


def test_priority_of_a_swarm() -> None:
    assert (priority_of(SWARM, []), priority_of(SWARM, ["premium"])) == (100, 80)


def test_a_job_may_name_its_own() -> None:
    assert priority_of(RUN, ["premium"], named=10) == 5
    assert priority_of(QueueSpec(handler="t"), [], named=-3) == -3


def test_an_unknown_mark_is_refused_with_the_nearest() -> None:
    with pytest.raises(Invalid) as caught:
        priority_of(RUN, ["premium", "persn", "what"])
    assert caught.value.message == 'no mark "persn" in `priority_by` of the queue'
    assert caught.value.remedy == 'Did you mean "person"?'
    assert [error.pointer for error in caught.value.errors] == ["/marks/1", "/marks/2"]
    with pytest.raises(Invalid, match="is empty"):
        priority_of(QueueSpec(handler="t"), ["premium"])


@pytest.mark.parametrize(
    ("failed", "waiting", "status", "reason"),
    [
        (0, 0, "operational", ""),
        (0, 500, "operational", ""),
        (1, 0, "degraded", "1 job has failed for good (more than 0)"),
        (0, 501, "degraded", "501 jobs wait (more than 500)"),
        (25, 1000, "degraded", "25 jobs have failed for good (more than 0) and 1,000 jobs wait (more than 500)"),
        (26, 0, "down", "26 jobs have failed for good (more than 25)"),
        (3, 1001, "down", "1,001 jobs wait (more than 1,000)"),
    ],
)
def test_health_by_the_reference(failed: int, waiting: int, status: str, reason: str) -> None:
    health = queue_health(QueueHealthSpec(), failed=failed, waiting=waiting)
    assert (health.status, health.reason) == (status, reason)


def test_health_by_the_spec() -> None:
    spec = QueueHealthSpec.model_validate({"degraded": {"failed": 5, "waiting": 0}})
    assert queue_health(spec, failed=5, waiting=0).status == "operational"
    assert queue_health(spec, failed=0, waiting=1).reason == "1 job waits (more than 0)"
