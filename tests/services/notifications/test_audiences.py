"""Audiences: who is in them, each once, and large ones in little memory."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

from runtime.services.notifications.ports import Audience

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.notifications.site import Site

    Build = Callable[..., Awaitable[Site]]


async def expanded(at: Site, notified: Any) -> set[str]:
    """The recipients of a notification, once all have their rows."""
    async with asyncio.timeout(60):
        while True:
            ((done,),) = await at.sql(
                "SELECT expanded_at IS NOT NULL FROM notifications WHERE id = :id", id=notified.id
            )
            if done:
                rows = await at.sql(
                    "SELECT recipient FROM notification_deliveries WHERE notification = :id", id=notified.id
                )
                names = [row.recipient for row in rows]
                assert len(names) == len(set(names))
                return set(names)
            await asyncio.sleep(0.01)


async def test_topics_everyone_and_those_who_are_left_out(site: Build) -> None:
    at = await site({"news": {"channels": ["in_app"]}})
    for name in ("ada", "bob", "cyd", "dan"):
        await at.user(name)
    await at.work("notification")
    for name in ("ada", "bob"):
        await at.service.choices.subscribe("project:7", name)
    await at.service.choices.subscribe("project:7", "ada")
    cases = [
        (Audience(topic="project:7"), {"ada", "bob"}),
        (Audience(topic="project:7", users=("ada", "cyd"), but=("bob",)), {"ada", "cyd"}),
        (Audience(everyone=True, but=("dan",)), {"ada", "bob", "cyd"}),
        (Audience(everyone=True, users=("ada", "ada")), {"ada", "bob", "cyd", "dan"}),
        (Audience(topic="nobody:1"), set()),
    ]
    for to, who in cases:
        assert await expanded(at, await at.notify("news", to=to)) == who
    await at.service.choices.leave("project:7", "ada")
    assert await expanded(at, await at.notify("news", to=Audience(topic="project:7"))) == {"bob"}


async def test_an_expansion_that_dies_goes_on_and_reaches_each_once(site: Build) -> None:
    at = await site({"news": {"channels": ["in_app"], "daily_limit": 3}})
    names = [await at.user(f"u{number:04}") for number in range(1200)]
    told = await at.notify("news", to=Audience(everyone=True))

    class Died(BaseException): ...

    class Job:
        id, saved, pages = "j", None, 0

        async def save(self, value: Any) -> None:
            Job.saved, Job.pages = value, Job.pages + 1
            if Job.pages == 2:
                raise Died

    with pytest.raises(Died):
        await at.service.sending.expand(Job(), told.id)  # type: ignore[arg-type]
    Job.saved = ["everyone", names[499]]  # the note of the second page was lost
    await at.service.sending.expand(Job(), told.id)  # type: ignore[arg-type]
    assert await expanded(at, told) == set(names)
    assert len(await at.sql("SELECT id FROM notification_inbox")) == 1200


async def test_ten_thousand_at_once_take_little_memory(site: Build, url: str) -> None:
    if url != "sqlite":
        pytest.skip("memory is this process's; once is enough")
    at = await site({"news": {"channels": ["in_app", "email"]}})
    async with at.outbox.transaction() as tx:
        for first in range(0, 10_000, 1000):
            rows = ", ".join(
                f"('u{n:05}', 'u{n:05}@example.com', CURRENT_TIMESTAMP, '', '', CURRENT_TIMESTAMP)"
                for n in range(first, first + 1000)
            )
            await tx.execute(f"INSERT INTO users (id, email, verified_at, scopes, languages, created_at) VALUES {rows}")
    told = await at.notify("news", to=Audience(everyone=True))

    class Job:
        id, saved = "j", None

        async def save(self, value: Any) -> None: ...

    expanding = asyncio.create_task(at.service.sending.expand(Job(), told.id))  # type: ignore[arg-type]
    before = most = sys.getallocatedblocks()
    while not expanding.done():  # looks while the rows of a page are on their way to the database
        await asyncio.wait({expanding}, timeout=0.002)
        most = max(most, sys.getallocatedblocks())
    assert await expanding == {"recipients": 10_000}
    assert most - before < 60_000, f"{most - before} objects"
    ((count,),) = await at.sql("SELECT COUNT(*) FROM notification_deliveries")
    assert count == 20_000
    assert len(await at.planned()) == 10_000 / 20 + 1  # jobs of twenty, and the expansion's own
