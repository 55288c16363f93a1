"""Digests: windows against a simple model over random clocks, and gathered notifications that nobody loses."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.services.notifications.settings import CategorySettings, Settings
from runtime.services.notifications.store import digests
from runtime.storage.database import Database
from tests.services.notifications.site import write

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from tests.services.notifications.site import Site

    Build = Callable[..., Awaitable[Site]]

NEWS = {"channels": ["in_app", "email"], "digest": {"window": "1s", "key": "{{ place }}"}}
DIGEST = {
    "subject.txt": "{{ count | plural(one='One thing', other='# things') }}",
    "body.html": "<ul>{% for item in items %}<li>{{ item.title }}</li>{% endfor %}</ul>",
    "title.txt": "{{ count }}",
}
RUNS = count()
TICK = timedelta(seconds=10)
"""Coarse, so that the end of a window is often met exactly."""
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Windows:
    """What a digest is: the notifications that come until its window closes; the next one opens another."""

    open: dict[tuple[str, str], tuple[str, datetime]] = field(default_factory=dict)
    items: dict[str, set[str]] = field(default_factory=dict)

    def gather(self, who: str, key: str, notification: str, fresh: str, now: datetime, closes: datetime) -> bool:
        digest, until = self.open.get((who, key), ("", BEGIN - timedelta(days=1)))
        opened = until <= now
        if opened:
            digest = fresh
            self.open[who, key] = (fresh, closes)
        self.items.setdefault(digest, set()).add(notification)
        return opened

    def close(self, digest: str) -> list[str]:
        self.open = {name: known for name, known in self.open.items() if known[0] != digest}
        return sorted(self.items.pop(digest, set()))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, Database]]:
    folder = tmp_path_factory.mktemp("digests")
    with asyncio.Runner() as runner:
        made = Database("sqlite", folder, "test", root=folder)
        runner.run(made.start())
        yield runner, made
        runner.run(made.stop())


steps = st.lists(
    st.one_of(
        st.tuples(st.just("gather"), st.sampled_from(["ada", "bob"]), st.sampled_from(["", "k"]), st.integers(-3, 9)),
        st.tuples(st.just("close"), st.integers(0, 30), st.just(""), st.integers(0, 9)),
    ),
    max_size=30,
)


@settings(max_examples=60)
@given(steps, st.integers(1, 6))
def test_the_model_agrees_over_random_clocks(
    database: tuple[asyncio.Runner, Database], moves: list[Any], window: int
) -> None:
    """Clocks of several machines go back and forth; windows close late, early, twice and on the second."""
    runner, made = database
    model, known, run = Windows(), list[str](), f"run{next(RUNS)}"

    async def play() -> None:
        now = BEGIN
        for number, (what, who, key, passed) in enumerate(moves):
            now += passed * TICK
            async with made.transaction() as connection:
                if what == "gather":
                    fresh, closes = f"{run}-{number}", now + window * TICK
                    known.append(fresh)
                    opened = await digests.gather(
                        connection, f"{run}{who}", "news", key, f"n{number}", fresh=fresh, now=now, closes_at=closes
                    )
                    assert opened == model.gather(who, key, f"n{number}", fresh, now, closes)
                elif known:
                    digest = known[who % len(known)]
                    assert await digests.close(connection, digest) == model.close(digest)

    runner.run(play())


async def test_what_comes_together_goes_out_as_one(site: Build, post: Any, tmp_path: Path) -> None:
    write(tmp_path / "_digest", DIGEST)
    at = await site({"news": NEWS})
    await at.user("ada")
    await at.work()
    told = await asyncio.gather(
        *[at.notify("news", "ada", data={"thing": f"t{number}", "place": "x"}) for number in range(25)],
        at.notify("news", "ada", data={"thing": "alone", "place": "y"}),
    )

    async def mails() -> list[Any]:
        rows = [row for each in told for row in await at.service.receipts.deliveries(each.id)]
        return [row for row in rows if row.kind == "email" and row.status == "sent"]

    async with asyncio.timeout(20):
        while sum(len(row.items) for row in await mails()) < 26:
            await asyncio.sleep(0.02)
    rows = await mails()
    assert all(row.step.startswith("digest-") for row in rows)
    named = [name for row in rows for name in row.items]
    assert sorted(named) == sorted(each.id for each in told)  # each in one mail, and in no other
    subjects = [str(message["Subject"]) for _, message in post.received]
    assert len(subjects) == len(rows) < 10
    assert "About alone" in subjects  # a digest of one is an ordinary mail
    for _, message in post.received:
        if message["Subject"] != "About alone":
            listed = message.get_body(("plain",)).get_content().count("- t")
            assert message["Subject"] == f"{listed} things"
    assert len(await at.service.inboxes.inbox("ada")) == 26  # the inbox has each of them


async def test_nothing_is_lost_between_a_window_and_the_next(site: Build, tmp_path: Path) -> None:
    """While some gather, others close: each notification is in exactly one digest."""
    write(tmp_path / "_digest", DIGEST)
    at = await site({"news": NEWS})
    opened: list[str] = []
    closed: list[list[str]] = []
    over = asyncio.Event()

    async def gather(first: int) -> None:
        for number in range(first, first + 40):
            fresh, now = f"d{number}", datetime.now(UTC)
            async with at.database.transaction() as connection:
                new = await digests.gather(
                    connection, "ada", "news", "", f"n{number}", fresh=fresh, now=now,
                    closes_at=now + timedelta(milliseconds=3),
                )  # fmt: skip
            if new:
                opened.append(fresh)

    async def close() -> None:
        while not (over.is_set() and not opened):
            if not opened:
                await asyncio.sleep(0.001)
                continue
            digest = opened.pop(0)
            async with at.database.transaction() as connection:
                closed.append(await digests.close(connection, digest))

    closing = asyncio.create_task(close())
    async with asyncio.timeout(30):
        await asyncio.gather(*[gather(first) for first in (0, 100, 200, 300)])
        over.set()
        await closing
    found = [name for some in closed for name in some]
    assert len(found) == len(set(found)) == 160


async def test_whoever_switches_off_meanwhile_gets_no_digest(site: Build, post: Any, tmp_path: Path) -> None:
    write(tmp_path / "_digest", DIGEST)
    at = await site({"news": NEWS})
    await at.user("ada")
    told = await at.notify("news", "ada", data={"thing": "t", "place": "x"})
    await at.service.choices.change_settings("ada", Settings(categories={"news": CategorySettings(to_emails=False)}))
    await at.work()
    async with asyncio.timeout(20):
        while len(found := await at.receipts(told)) < 2:
            await asyncio.sleep(0.01)
    (mail,) = [row for (_, kind, _), row in found.items() if kind == "email"]
    assert mail.reason == "the channel is switched off for the category"
    assert post.received == []


async def test_a_digest_without_a_folder_is_said_at_the_start(site: Build) -> None:
    with pytest.raises(Exception, match=r"no folder of templates .*_digest"):
        await site({"news": NEWS})
