"""Deliveries when something dies or is away: nothing is lost, and at most one message goes out twice, marked."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtime.services.notifications.channels.port import Receipt
from runtime.services.notifications.commits import Commits
from runtime.services.notifications.ports import Audience
from runtime.services.notifications.store import deliveries
from tests.services.notifications.site import FILES, Recorder, write

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.conftest import Server
    from tests.services.notifications.site import Site

    Build = Callable[..., Awaitable[Site]]

ROOT = Path(__file__).parents[3]


async def test_a_worker_killed_between_send_and_record(
    site: Build, post: Any, shared_server: Server, url: str, tmp_path: Path
) -> None:
    at = await site()
    await at.user("ada")
    relay = asyncio.create_task(at.outbox.watch())
    told = await at.notify("news", "ada")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.services.notifications.dying_process", str(shared_server.socket), url,
         str(tmp_path), str(post.port)],
        cwd=ROOT,
    ) as process:  # fmt: skip
        try:
            async with asyncio.timeout(30):
                await asyncio.to_thread(process.wait)
        finally:
            process.kill()
    assert len(post.received) == 1
    assert (await at.receipts(told))["ada", "email", ""].status == "sending"
    await at.work("email")  # takes over what the dead one had
    relay.cancel()
    async with asyncio.timeout(60):
        while (mail := (await at.receipts(told))["ada", "email", ""]).status != "sent":
            await asyncio.sleep(0.05)
    assert (mail.repeated, mail.attempts) == (True, 2)
    assert [message["Message-ID"] for _, message in post.received] == [f"<{mail.provider_id}>"] * 2


async def test_a_delivery_of_which_the_worker_always_dies_is_given_up(site: Build, post: Any) -> None:
    at = await site()
    await at.user("ada")
    told = await at.notify("news", "ada")
    row = (await at.receipts(told))["ada", "email", ""]
    for _ in range(2):  # claimed twice, and dead each time
        async with at.outbox.transaction() as tx:
            assert await deliveries.claim(tx.connection, [row.id], "job")
    assert await at.service.courier.deliver("job", [row.id]) == {"failed": 1}
    assert post.received == []


async def test_a_delivery_is_taken_by_one_job(site: Build, post: Any) -> None:
    at = await site()
    await at.user("ada")
    told = await at.notify("news", "ada")
    row = (await at.receipts(told))["ada", "email", ""]
    came = await asyncio.gather(*[at.service.courier.deliver(f"job{number}", [row.id]) for number in range(8)])
    assert sorted(len(each) for each in came) == [0] * 7 + [1]
    assert len(post.received) == 1


async def test_a_delivery_whose_job_is_lost_is_found(site: Build, post: Any) -> None:
    at = await site()
    await at.user("ada")
    told = await at.notify("news", "ada")
    await at.sql("DELETE FROM outbox")  # as where the server of the queues lost its data
    assert await at.service.sweep() == 0
    assert await at.service.sweep(timedelta(0)) == 1
    await at.work()
    assert (await at.settled(told))["ada", "email", ""].status == "sent"
    assert len(post.received) == 1


async def test_a_provider_that_is_down_is_waited_for(site: Build) -> None:
    push = Recorder("push", [Receipt("later", reason="503", after=0.01)] * 2)
    at = await site({"news": {"channels": ["push"]}}, channels={"push": push})
    await at.user("ada")
    await at.sql(
        'INSERT INTO notification_push_subscriptions (id, "user", endpoint, p256dh, auth, vapid_key, device, '
        "created_at) VALUES ('d1', 'ada', 'https://push.example/x', 'k', 'a', 'v', '', CURRENT_TIMESTAMP)"
    )
    await at.work()
    receipts = await at.settled(await at.notify("news", "ada"))
    assert (receipts["ada", "push", ""].status, receipts["ada", "push", ""].attempts) == ("sent", 3)
    push.receipts = [Receipt("gone", reason="410")]
    receipts = await at.settled(await at.notify("news", "ada"))
    assert (receipts["ada", "push", ""].status, receipts["ada", "push", ""].reason) == ("failed", "410")
    receipts = await at.settled(await at.notify("news", "ada"))
    assert receipts["ada", "push", ""].reason == "no address"  # the device was deleted, and is not tried again


@pytest.mark.parametrize("outcome", ["later", "refused"])
async def test_what_never_works_ends_with_its_reason(site: Build, outcome: Any) -> None:
    push = Recorder("push", [Receipt(outcome, reason="401 wrong key", down=outcome == "refused")] * 20)
    at = await site({"news": {"channels": ["push"]}}, channels={"push": push}, breaker={"cooldown": "10ms"})
    await at.user("ada")
    await at.sql(
        'INSERT INTO notification_push_subscriptions (id, "user", endpoint, p256dh, auth, vapid_key, device, '
        "created_at) VALUES ('d1', 'ada', 'https://push.example/x', 'k', 'a', 'v', '', CURRENT_TIMESTAMP)"
    )
    await at.work()
    receipt = (await at.settled(await at.notify("news", "ada")))["ada", "push", ""]
    assert (receipt.status, receipt.attempts) == ("failed", 3)
    assert "401 wrong key" in receipt.reason
    assert ((await at.service.health()).status == "degraded") == (outcome == "refused")


async def test_a_provider_that_is_left_alone_costs_no_tries(site: Build) -> None:
    """Two fail, which opens the breaker; the others wait for longer than all their tries would have taken."""
    channel = Recorder("email", [Receipt("later", reason="down", down=True)] * 3)
    breaker = {"failures": 2, "cooldown": "300ms"}
    at = await site({"news": {"channels": ["email"]}}, channels={"email": channel}, breaker=breaker)
    people = [await at.user(f"u{number}") for number in range(12)]
    told = await at.notify("news", *people)
    await at.work()
    receipts = [row for row in (await at.settled(told)).values() if row.kind == "email"]
    assert [row.status for row in receipts] == ["sent"] * 12
    assert sum(row.attempts for row in receipts) == 12 + 3  # those that were asked for, and no others


async def test_a_job_whose_time_is_over_gives_back_what_it_has_not_begun(site: Build, post: Any) -> None:
    at = await site()
    people = [await at.user(f"u{number}") for number in range(8)]
    told = await at.notify("news", *people)
    rows = [row.id for row in (await at.receipts(told)).values() if row.kind == "email"]
    for name in people:
        post.answers[f"{name}@example.com"] = ["silence"]
    delivering = asyncio.create_task(at.service.courier.deliver("job1", rows))
    async with asyncio.timeout(10):
        while len([answers for answers in post.answers.values() if not answers]) < 4:  # its connections
            await asyncio.sleep(0.01)
    delivering.cancel()
    await asyncio.wait({delivering})
    found = [row for row in (await at.receipts(told)).values() if row.kind == "email"]
    assert sorted((row.status, row.attempts) for row in found) == [("queued", 0)] * 4 + [("sending", 1)] * 4
    post.answers.clear()
    assert await at.service.courier.deliver("job1", rows) == {"sent": 8}
    marked = [row.repeated for row in (await at.receipts(told)).values() if row.kind == "email"]
    assert sorted(marked) == [False] * 4 + [True] * 4


async def test_lost_expansions_and_digests_are_found_and_old_ones_forgotten(site: Build, tmp_path: Path) -> None:
    write(tmp_path / "_digest", FILES)
    digest = {"channels": ["in_app", "email"], "digest": {"window": "1ms"}}
    at = await site({"news": {"channels": ["in_app"]}, "much": digest})
    await at.user("ada")
    expanding = await at.notify("news", to=Audience(everyone=True))
    gathered = await at.notify("much", "ada")
    await at.sql("DELETE FROM outbox")
    await asyncio.sleep(0.01)  # the window closes
    assert await at.service.sweep(timedelta(0)) == 2
    await at.work()
    assert (await at.settled(expanding))["ada", "in_app", ""].status == "sent"
    async with asyncio.timeout(15):
        while not any(row.kind == "email" and row.status == "sent" for row in (await at.receipts(gathered)).values()):
            await asyncio.sleep(0.01)
    await at.service.update({"retention": "1ms"})
    await asyncio.sleep(0.01)
    await at.service.sweep()
    assert await at.sql("SELECT id FROM notifications") == []
    assert await at.sql("SELECT id FROM notification_deliveries") == []
    assert len(await at.service.inboxes.inbox("ada")) == 2


async def test_a_change_that_fails_fails_no_other(site: Build) -> None:
    at = await site()

    async def change(tx: Any, numbers: Any) -> None:
        await tx.execute("UPDATE notification_keys SET name = name")
        if 3 in numbers:
            raise ValueError("this one")

    commits = Commits[int](at.outbox, change)
    done = await asyncio.gather(*[commits.write(n) for n in range(8)], return_exceptions=True)
    assert [n for n, each in enumerate(done) if isinstance(each, ValueError)] == [3]
    assert [each for n, each in enumerate(done) if n != 3] == [None] * 7


async def test_whoever_writes_for_all_may_be_cancelled(site: Build) -> None:
    at = await site()
    begun, wrote = asyncio.Event(), list[str]()

    async def change(tx: Any, names: Any) -> None:
        wrote.extend(names)
        if not begun.is_set():
            begun.set()
            await asyncio.sleep(30)

    commits = Commits[str](at.outbox, change)
    stuck = asyncio.create_task(commits.write("slow"))
    others = [asyncio.create_task(commits.write("good")) for _ in range(3)]
    await begun.wait()
    stuck.cancel()
    await asyncio.wait({stuck})
    async with asyncio.timeout(10):
        await asyncio.gather(*others)
    assert wrote.count("good") == 3
    assert wrote.count("slow") == 2  # what was begun and rolled back is written after all
