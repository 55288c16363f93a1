"""The quickstart, run through the real command."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime.testing import RunningEnvironment, running

if TYPE_CHECKING:
    from collections.abc import Iterator

SPEC = Path(__file__).with_name("spec.yaml")


@pytest.fixture(scope="module")
def environment() -> Iterator[RunningEnvironment]:
    with running(SPEC) as environment:
        yield environment


def test_a_job_an_event_and_a_mail(environment: RunningEnvironment) -> None:
    job = environment.run_job("pictures", {"picture": "cat.png", "width": 640, "owner": "ada@example.com"})
    assert job["status"] == "completed"
    assert job["result"] == {"picture": "cat.png", "width": 640}
    events = environment.get("/v1/streams/pictures/events").body["items"]
    assert [event["data"]["owner"] for event in events] == ["ada@example.com"]
    deadline = time.monotonic() + 10
    while not (mails := list(environment.state.mail.glob("*.eml"))) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert b"cat.png is ready" in mails[0].read_bytes()


def test_a_payload_of_another_shape_is_refused_with_its_place(environment: RunningEnvironment) -> None:
    answer = environment.post("/v1/queues/pictures/jobs", {"payload": {"picture": "cat.png", "width": "wide"}})
    assert answer.status == 400
    assert any(error["pointer"].startswith("/payload") for error in answer.body["errors"])


def test_a_hopeless_job_is_not_tried_again(environment: RunningEnvironment) -> None:
    job = environment.run_job("pictures", {"picture": "cat.png", "width": 0, "owner": "ada@example.com"})
    assert job["status"] == "failed"
    assert job["attempts"] == 1
    assert "positive width" in job["error"]
