"""The rate of a queue counts messages, whatever its jobs carry; counted where they arrive."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Unreachable
from runtime.services.jobs.spec import QueueSpec
from tests.services.notifications.site import Site
from tests.services.notifications.sms_provider import sms_provider

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from runtime.services.jobs.ports import Draft, JobView
    from tests.services.conftest import Server
    from tests.services.notifications.sms_provider import SmsProvider

    Build = Callable[..., Awaitable[Site]]

NUMBERS = [f"+4366012345{number:02}" for number in range(7)]
MAIL = {"subject": "Hello", "text": "It works."}


@pytest.fixture
def url() -> str:
    """What differs between databases is asked of both elsewhere: the suite shall stay short."""
    return "sqlite"


@pytest.fixture
def provider() -> Iterator[SmsProvider]:
    with sms_provider() as made:
        yield made


def limit(at: Site, queue: str, rate: str | None) -> None:
    """Gives a queue a rate, or none."""
    section = {"handler": at.queues[queue].handler, "retry": {"attempts": 3, "backoff": "10ms"}, "rate": rate}
    at.queues[queue] = QueueSpec.model_validate(section)
    at.jobs.adopt(queue, at.queues[queue])


async def still(at: Site, queue: str, waiting: int) -> None:
    """Waits until so many jobs of a queue wait, and none is under way."""
    async with asyncio.timeout(20):
        while True:
            seen = await at.jobs.queue(queue)
            if (seen.waiting + seen.scheduled, seen.running) == (waiting, 0):
                return
            await asyncio.sleep(0.01)


async def arrived(provider: SmsProvider, count: int) -> None:
    async with asyncio.timeout(20):
        while len(provider.sent) < count:
            await asyncio.sleep(0.01)


async def test_texts_of_a_notification(site: Build, provider: SmsProvider) -> None:
    at = await site({"news": {"channels": ["sms"]}}, declared={"sms": provider.twilio()})
    people = [await at.user(f"u{number}", phone) for number, phone in enumerate(NUMBERS)]
    told = await at.notify("news", *people)
    assert len([job for job in await at.planned() if job["lane"] == "jobs:sms"]) == 1
    limit(at, "sms", "3/h")  # after they were planned together
    await at.work("sms")
    await arrived(provider, 3)
    await still(at, "sms", 1)
    assert len(set(provider.numbers)) == len(provider.sent) == 3
    statuses = [row.status for row in (await at.receipts(told)).values()]
    assert (statuses.count("sent"), statuses.count("queued")) == (3, 4)


async def test_texts_of_a_job(site: Build, provider: SmsProvider) -> None:
    at = await site({"news": {"channels": ["sms"]}}, declared={"sms": provider.twilio()})
    limit(at, "sms", "3/h")
    await at.work("sms")
    job = await at.job("sms", to=[*NUMBERS, NUMBERS[0]], body="It is ready.")
    assert (job.status, job.result) == ("completed", {"sent": 3, "apart": 4})
    await arrived(provider, 3)
    await still(at, "sms", 1)
    assert len(set(provider.numbers)) == len(provider.sent) == 3


async def test_mails_and_each_once(site: Build, post: Any) -> None:
    at = await site()
    to = [f"u{number}@example.com" for number in range(7)]
    post.answers = {to[0]: ["451 later"] * 2, to[1]: ["550 no such user"], to[5]: ["451 later"]}
    limit(at, "email", "4/s")
    await at.work("email")
    job = await at.job("email", to=to, **MAIL)
    assert (job.status, job.attempts) == ("failed", 3)
    assert "550" in str(job.error)
    await still(at, "email", 0)
    assert sorted(post.recipients) == sorted({*to} - {to[1]})
    assert [each.id for each in await at.jobs.dead("email")] == [job.id]


async def test_whoever_has_a_mail_gets_no_second_one_when_a_rate_comes(site: Build, post: Any) -> None:
    at = await site()
    to = [f"u{number}@example.com" for number in range(5)]
    post.answers = {each: ["451 later"] for each in to[2:]}
    await at.work("email")
    job = await at.jobs.enqueue("email", {"to": to, **MAIL})
    async with asyncio.timeout(20):
        while post.answers[to[2]]:
            await asyncio.sleep(0)
    limit(at, "email", "1/h")  # all but one of the three that are left are for another job
    async with asyncio.timeout(20):
        while (seen := await at.jobs.get(job.id)).status != "completed":
            await asyncio.sleep(0.01)
    await still(at, "email", 0)  # the worker knows of no rate
    assert sorted(post.recipients) == to
    assert seen.result == {"sent": 4, "apart": 1}


async def test_what_is_passed_on_is_passed_on_once(site: Build, post: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    at = await site()
    to = [f"u{number}@example.com" for number in range(5)]
    limit(at, "email", "3/s")
    submit, stored = at.jobs.submit, list[str]()

    async def dying(queue: str, draft: Draft) -> JobView:
        made = await submit(queue, draft)
        if draft.once is not None:
            stored.append(made.id)
        if len(stored) == 1 and draft.once is not None:
            raise Unreachable("storage.redis", "the server", "it went away behind its answer")
        return made

    monkeypatch.setattr(at.jobs, "submit", dying)
    await at.work("email")
    job = await at.job("email", to=to, **MAIL)
    await still(at, "email", 0)
    assert (job.status, job.attempts) == ("completed", 2)
    assert sorted(post.recipients) == to


async def test_redis_goes_away_in_mid_send(
    mortal_server: Server, tmp_path: Path, post: Any, url: str, provider: SmsProvider
) -> None:
    client = mortal_server.client(retries=3)
    section = {"channels": {"sms": provider.twilio()}}
    retry = {"attempts": 10, "backoff": "10ms"}
    at = Site(client, url, tmp_path, post.port, {"news": {"channels": ["in_app", "sms"]}}, {}, section, retry)
    limit(at, "sms", "20/s")
    await at.start()
    phones = [f"+4366012345{number:02}" for number in range(40)]
    people = [await at.user(f"u{number}", phone) for number, phone in enumerate(phones)]
    await at.work("sms")
    told = await at.notify("news", *people)
    await arrived(provider, 8)
    mortal_server.kill()
    assert await at.service.inboxes.read("u1", None) == 1  # the inbox needs the database alone
    mortal_server.start()
    found = await at.settled(told)
    assert {(each.status, each.attempts) for each in found.values() if each.kind == "sms"} == {("sent", 1)}
    assert sorted(provider.numbers) == phones
    await at.close()
    await client.aclose()
