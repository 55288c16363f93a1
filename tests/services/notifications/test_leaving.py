"""Accounts that are removed: nothing of them stays, not even what is planned meanwhile."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from runtime.services.auth.people import UserDirectory
from runtime.services.auth.store import users
from runtime.services.notifications.leaving import Leaving
from runtime.services.notifications.settings import Settings
from runtime.services.notifications.store import notices
from tests.services.notifications.site import FILES, write

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.services.notifications.site import Site

    Build = Callable[..., Awaitable[Site]]

TABLES = ("deliveries", "inbox", "preferences", "counts", "topics", "windows")


async def kept(at: Site, user: str) -> dict[str, list[str]]:
    """What there is of a user, by table; of receipts their status and address."""
    found = {
        name: [str(row.recipient) for row in await at.sql(f"SELECT recipient FROM notification_{name}")]
        for name in TABLES
    }
    rows = await at.sql("SELECT kind, status, address FROM notification_deliveries WHERE recipient = :u", u=user)
    found["deliveries"] = sorted(f"{row.kind} {row.status} {row.address}" for row in rows)
    items = await at.sql("SELECT digest FROM notification_digest_items")
    devices = await at.sql('SELECT "user" FROM notification_push_subscriptions')
    found |= {"items": [row.digest for row in items], "devices": [row.user for row in devices]}
    return {name: [each for each in rows if name in ("deliveries", "items") or each == user]
            for name, rows in found.items() if rows}  # fmt: skip


async def test_nothing_stays_of_an_account(site: Build, post: Any, tmp_path: Path) -> None:
    write(tmp_path / "_digest", FILES)
    much = {"channels": ["in_app", "email"], "digest": {"window": "1h"}}
    at = await site({"news": {"channels": ["in_app", "email"], "daily_limit": 9}, "much": much})
    for name in ("ada", "bob"):
        await at.user(name)
        await at.service.choices.change_settings(name, Settings(to_push=False))
        await at.service.choices.subscribe("project:7", name)
        await at.sql(
            'INSERT INTO notification_push_subscriptions (id, "user", endpoint, p256dh, auth, vapid_key, device, '
            f"created_at) VALUES ('d-{name}', '{name}', 'https://x', 'k', 'a', 'v', '', CURRENT_TIMESTAMP)"
        )
    await at.work("email")
    told = await at.notify("news", "ada", "bob")
    sent = await at.settled(told)
    await at.notify("much", "ada", "bob")
    post.answers["ada@example.com"] = ["450 later"]
    await at.notify("news", "ada")
    before = await kept(at, "ada")
    assert set(before) == {*TABLES, "items", "devices"}
    async with at.outbox.transaction() as tx:
        await users.remove(tx.connection, "ada")
        await Leaving("notification").remove(tx, "ada")
    assert {name: rows for name, rows in (await kept(at, "ada")).items() if rows} == {
        "deliveries": ["email sent ", "in_app sent ", "in_app sent ", "in_app sent "],
        "items": [await digest_of(at, "bob")],
    }
    assert (await kept(at, "bob"))["inbox"]
    assert (await at.receipts(told))["bob", "email", ""] == sent["bob", "email", ""]


async def test_what_was_planned_meanwhile_is_forgotten(site: Build) -> None:
    at = await site({"news": {"channels": ["in_app", "email"]}})
    await at.user("ada")
    await at.user("bob")
    told = await at.notify("news", "bob")
    found = await UserDirectory(at.database).find(["ada"])
    async with at.outbox.transaction() as tx:
        await users.remove(tx.connection, "ada")
        await Leaving("notification").remove(tx, "ada")
    async with at.outbox.transaction() as tx:  # as a page of an audience does that was read before
        notice = await notices.find(tx.connection, told.id)
        assert notice is not None
        planner = at.service._planner
        going = planner.going(notice)
        assert going is not None
        await planner.plan(tx, going, found, set())
    assert len((await kept(at, "ada"))["inbox"]) == 1
    (job,) = [job for job in await at.planned() if job["payload"].get("work") == "forget"]
    assert job["due"] > time.time()
    for name in ("ada", "bob"):
        await at.service.sending.forget(name)
    assert {name: rows for name, rows in (await kept(at, "ada")).items() if rows} == {"deliveries": ["in_app sent "]}
    assert len((await kept(at, "bob"))["inbox"]) == 1  # there is an account: nothing is forgotten


async def digest_of(at: Site, user: str) -> str:
    ((digest,),) = await at.sql("SELECT digest FROM notification_windows WHERE recipient = :u", u=user)
    return str(digest)
