"""Jobs of the e-mail queue: each recipient gets a message of their own, once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Invalid, Unreachable
from runtime.plugins import Mark, Registry
from runtime.services.jobs.adapters.saq import SaqBackend
from runtime.services.jobs.service import JobQueues
from runtime.services.jobs.spec import QueueSpec
from runtime.services.jobs.worker import QueueWorker
from runtime.services.notifications.workers import email_task
from runtime.storage.cache import RedisCache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runtime.services.jobs.ports import JobView
    from runtime.storage.wire import WiredRedis

MAIL = {"subject": "Hello", "text": "It works."}


class Queue:
    """The e-mail queue over a real server."""

    def __init__(self, client: WiredRedis, mailer: Any, ledger: Any = None) -> None:
        section = {
            "handler": "notifications.email",
            "retry": {"attempts": 3, "backoff": "10ms", "jitter": False},
            "timeout": "10s",
        }
        spec = QueueSpec.model_validate(section)
        task = email_task(mailer, ledger or RedisCache(client, "rt:test:cache:"))
        registry = Registry([Mark("task", "notifications.email", task)])
        self.jobs = JobQueues({"email": spec}, registry, SaqBackend(client, "rt:test:"))
        self.worker = QueueWorker("email", spec, self.jobs)

    async def run(self, **payload: Any) -> JobView:
        job = await self.jobs.enqueue("email", {**MAIL, **payload})
        async with asyncio.timeout(15):
            while (seen := await self.jobs.get(job.id)).status not in ("completed", "failed"):
                await asyncio.sleep(0.01)
        return seen


@pytest.fixture
async def queue(client: WiredRedis, sender: Any) -> AsyncIterator[Queue]:
    queue = Queue(client, sender())
    await queue.worker.start()
    yield queue
    await queue.worker.stop()


async def test_each_recipient_gets_a_message_of_their_own(queue: Queue, post: Any) -> None:
    """The reference put all recipients into one `To:`."""
    job = await queue.run(to=["ada@example.com", "bob@example.com", "ada@example.com"])
    assert (job.status, job.result) == ("completed", {"sent": 2})
    assert post.recipients == ["ada@example.com", "bob@example.com"]
    assert [message["To"] for _, message in post.received] == ["ada@example.com", "bob@example.com"]
    assert len({message["Message-ID"] for _, message in post.received}) == 2


async def test_only_those_who_have_not_got_it_are_tried_again(queue: Queue, post: Any) -> None:
    post.answers["bob@example.com"] = ["451 later", "cut"]
    job = await queue.run(to=["ada@example.com", "bob@example.com", "eve@example.com"])
    assert (job.status, job.attempts, job.result) == ("completed", 3, {"sent": 3})
    assert sorted(post.recipients) == ["ada@example.com", "bob@example.com", "eve@example.com"]


async def test_one_refusal_for_good_does_not_keep_the_others_from_theirs(queue: Queue, post: Any) -> None:
    post.answers["ada@example.com"] = ["550 no such user"] * 9
    post.answers["bob@example.com"] = ["451 later"]
    job = await queue.run(to=["ada@example.com", "bob@example.com"])
    assert (job.status, job.attempts) == ("failed", 2)
    assert job.error == "ada@example.com: refused for good: 550 no such user"
    assert post.recipients == ["bob@example.com"]
    assert len(post.answers["ada@example.com"]) == 8  # it was asked once


async def test_a_refusal_for_good_is_not_tried_again(queue: Queue, post: Any) -> None:
    """The reference tried dead addresses five times."""
    post.answers["ada@example.com"] = ["550 no such user"] * 9
    job = await queue.run(to=["ada@example.com"])
    assert (job.status, job.attempts) == ("failed", 1)
    assert len(post.answers["ada@example.com"]) == 8


async def test_a_server_that_stays_away_fails_the_job_at_last(queue: Queue, post: Any) -> None:
    post.answers["ada@example.com"] = ["451 later"] * 9
    job = await queue.run(to=["ada@example.com"])
    assert (job.status, job.attempts) == ("failed", 3)
    assert "451 later" in (job.error or "")


async def test_a_note_that_cannot_be_made_at_once_is_made_later(client: WiredRedis, sender: Any, post: Any) -> None:
    class Flaky(RedisCache):
        failures = 2

        async def set(self, key: str, value: bytes, *, ttl: float) -> None:
            if self.failures:
                self.failures -= 1
                raise Unreachable("storage.redis", "here", "gone")
            await super().set(key, value, ttl=ttl)

    queue = Queue(client, sender(), Flaky(client, "rt:test:cache:"))
    await queue.worker.start()
    post.answers["bob@example.com"] = ["451 later"]
    job = await queue.run(to=["ada@example.com", "bob@example.com"])
    await queue.worker.stop()
    assert job.status == "completed"
    assert post.recipients == ["ada@example.com", "bob@example.com"]
    assert all([await client.ttl(key) > 0 for key in await client.keys("rt:test:cache:*")])


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"to": []}, "/payload/to"),
        ({"to": "ada@example.com"}, "/payload/to"),
        ({"to": ["x"]}, "/payload/to/0"),
        ({"to": ["ada@example.com"] * 51}, "/payload/to"),
        ({"to": ["ada@example.com"], "subject": 7}, "/payload/subject"),
        ({"to": ["ada@example.com"], "cc": ["eve@example.com"]}, "/payload"),
    ],
)
async def test_a_wrong_payload_is_refused(queue: Queue, wrong: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        await queue.jobs.enqueue("email", {**MAIL, **wrong})
    assert refused.value.errors[0].pointer.startswith(pointer)
