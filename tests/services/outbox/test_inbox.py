"""Each event takes effect once, whatever dies meanwhile: on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import SQLAlchemyError

from runtime.errors import NotBuilt
from runtime.plugins import Mark, subscriber
from runtime.services.events.spec import SubscriptionSpec
from runtime.services.events.subscription import Subscription
from runtime.services.outbox import store
from tests.services.outbox import dying_process
from tests.services.outbox.conftest import Place, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.services.conftest import Server

    Build = Callable[..., Awaitable[Place]]


async def effects(at: Place) -> list[int]:
    return [row.number for row in await at.sql("SELECT number FROM effects ORDER BY number")]


async def prepared(place: Build) -> Place:
    at = await place()
    await at.sql("CREATE TABLE effects (number INTEGER)")
    await at.sql("CREATE TABLE written (number INTEGER)")
    return at


async def test_an_event_that_comes_again_has_no_second_effect(place: Build) -> None:
    at = await prepared(place)
    subscription = await at.subscribe("sub", dying_process.handle)
    event = await at.events.publish("s", "a.b", {"number": 1})
    await until(lambda: effects(at))
    await subscription.handle_once(event)
    assert await effects(at) == [1]
    other = await at.subscribe("other", dying_process.handle)  # another subscription has an inbox of its own
    await until(lambda: _equal(at, [1, 1]))
    await other.handle_once(event)
    assert await effects(at) == [1, 1]


async def _equal(at: Place, numbers: list[int]) -> bool:
    return await effects(at) == numbers


async def test_a_failed_try_leaves_nothing_and_the_next_one_counts(place: Build) -> None:
    at = await prepared(place)
    tries = 0

    async def second(event: Any, tx: Any) -> None:
        nonlocal tries
        tries += 1
        await tx.execute("INSERT INTO effects VALUES (:number)", event.data)
        await tx.publish("s", "c.d", {"try": tries})
        if tries == 1:
            raise ValueError("not yet")

    await at.relay()
    await at.subscribe("sub", second, types=["a.b"])
    await at.events.publish("s", "a.b", {"number": 7})
    await until(lambda: _equal(at, [7]))
    await until(lambda: _published(at, 2))
    assert tries == 2
    assert [event.data for event in await at.published()] == [{"number": 7}, {"try": 2}]


async def _published(at: Place, count: int) -> bool:
    return len(await at.published()) == count


async def test_two_workers_at_one_event_give_one_effect(place: Build) -> None:
    at = await prepared(place)
    event = await at.events.publish("s", "a.b", {"number": 1})
    inside = asyncio.Event()

    async def slow(event: Any, tx: Any) -> None:
        inside.set()
        await dying_process.handle(event, tx)
        await asyncio.sleep(0.1)

    spec = SubscriptionSpec.model_validate({"stream": "s", "handler": "h"})
    both = [Subscription("sub", spec, Mark("subscriber", "h", slow, once=True), at.events, inbox=at.outbox)
            for _ in range(2)]  # fmt: skip
    first = asyncio.create_task(both[0].handle_once(event))
    await inside.wait()
    await both[1].handle_once(event)
    await first
    assert await effects(at) == [1]


async def test_the_spec_alone_can_ask_for_it(place: Build) -> None:
    at = await place()
    seen: list[int] = []

    async def plain(event: Any) -> None:
        seen.append(event.data["number"])

    subscription = await at.subscribe("sub", plain, once=False, inbox=True)
    event = await at.events.publish("s", "a.b", {"number": 1})
    await until(lambda: at.sql("SELECT * FROM inbox"))
    await subscription.handle_once(event)
    assert seen == [1]


async def test_what_failed_is_not_noted(place: Build) -> None:
    at = await place()
    tries = 0

    def second(event: Any) -> None:  # a plain function, in a thread
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ValueError("not yet")

    subscription = await at.subscribe("sub", second, once=False, inbox=True)
    event = await at.events.publish("s", "a.b", {})
    await until(lambda: at.sql("SELECT * FROM inbox"))
    await subscription.handle_once(event)
    assert tries == 2


async def test_a_broken_statement_is_a_failed_try(place: Build) -> None:
    at = await place()

    async def broken(event: Any, tx: Any) -> None:
        try:
            await tx.execute("INSERT INTO nowhere VALUES (:secret)", {"secret": "hunter2"})
        except SQLAlchemyError:
            pass  # PostgreSQL refuses all that follows in this transaction; SQLite goes on
        await tx.execute("SELECT * FROM nowhere WHERE a = :secret", {"secret": "hunter2"})

    await at.subscribe("sub", broken)
    await at.events.publish("s", "a.b", {})
    (dead,) = await until(lambda: at.events.dead("s"))
    assert dead.tries == 3
    assert "Error" in dead.error
    assert "hunter2" not in dead.error
    assert await at.sql("SELECT * FROM inbox") == []


async def test_handled_events_are_forgotten_after_their_time(place: Build) -> None:
    at = await place()
    async with at.outbox.once("sub", "old", -1.0) as tx:
        assert tx is not None
    async with at.outbox.once("sub", "new", 60.0) as tx:
        assert tx is not None
    async with at.database.transaction() as connection:
        assert await store.forget(connection) == 1
    async with at.outbox.once("sub", "old", 60.0) as tx:
        assert tx is not None
    async with at.outbox.once("sub", "new", 60.0) as tx:
        assert tx is None


async def test_without_a_database_it_is_refused_at_the_start(place: Build) -> None:
    at = await place()
    spec = SubscriptionSpec.model_validate({"stream": "s", "handler": "h", "inbox": True})
    with pytest.raises(NotBuilt, match="without a database"):
        await Subscription("sub", spec, Mark("subscriber", "h", print), at.events).start()


def test_a_plain_function_cannot_have_a_transaction() -> None:
    with pytest.raises(TypeError, match="needs an async function"):
        subscriber("x", once=True)(lambda event, tx: None)


async def launch(server: Server, url: str, folder: Path, moment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", dying_process.__name__, str(server.socket), url, str(folder), moment
    )


@pytest.mark.parametrize("moment", ["committed", "delivered", "handled"])
async def test_killed_at_its_worst_moment_each_effect_is_there_once(
    place: Build, shared_server: Server, url: str, tmp_path: Path, moment: str
) -> None:
    at = await prepared(place)
    dying = await launch(shared_server, url, tmp_path, moment)
    assert await asyncio.wait_for(dying.wait(), 30) == -signal.SIGKILL
    if moment != "handled":
        assert len(await at.sql("SELECT id FROM outbox")) == 1
    await at.relay()
    await at.subscribe("sub", dying_process.handle, reclaim=0.5)
    await until(lambda: _settled(at))
    assert await effects(at) == [1]
    assert len(await at.published()) == 1


@pytest.mark.soak
async def test_killed_again_and_again_each_effect_is_there_once(
    place: Build, shared_server: Server, url: str, tmp_path: Path
) -> None:
    at = await prepared(place)
    for killed in range(1, 3):
        dying = await launch(shared_server, url, tmp_path, "any")
        await until(partial(_at_least, at, 10 * killed), 60)
        os.kill(dying.pid, signal.SIGKILL)
        await dying.wait()
    await at.relay()
    await at.subscribe("sub", dying_process.handle, reclaim=0.5)
    await until(lambda: _settled(at), 60)
    written = [row.number for row in await at.sql("SELECT number FROM written")]
    assert Counter(await effects(at)) == Counter(written)
    assert len(written) == len(set(written)) >= 20


async def _at_least(at: Place, count: int) -> bool:
    return len(await effects(at)) >= count


async def _settled(at: Place) -> bool:
    """Whether all that was written has been delivered and handled."""
    written = await at.sql("SELECT number FROM written")
    pending = await at.client.xpending(at.streams.key("s", "log"), "sub")
    return (
        pending["pending"] == 0
        and not await at.sql("SELECT id FROM outbox")
        and len(await at.published()) >= len(written)
        and len(await effects(at)) >= len(written)
    )
