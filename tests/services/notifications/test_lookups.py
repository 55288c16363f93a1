"""What the store of notifications asks is answered by indices, on both databases: no table is read from end to end."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import event, insert, text

from runtime.services.notifications.devices import Asked
from runtime.services.notifications.ports import Audience, InboxItem, Notice
from runtime.services.notifications.settings import Settings
from runtime.services.notifications.store import (
    addresses,
    deliveries,
    digests,
    inbox,
    leaving,
    notices,
    preferences,
    push,
    tables,
)  # fmt: skip
from runtime.services.notifications.store.deliveries import Outcome
from runtime.services.notifications.store.notices import Kept
from runtime.storage.database import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncConnection

ROWS: Final = int(os.environ.get("LOOKUP_ROWS", "300"))
"""Of each table. What a planner chooses for a few rows is no proof: PostgreSQL's is kept from reading whole tables, and
must do so only where no index answers."""
NOW: Final = datetime.now(UTC)


@pytest.fixture
async def connection(url: str, tmp_path: Path) -> AsyncIterator[AsyncConnection]:
    database = Database(url, tmp_path, "test", root=tmp_path)
    await database.start()
    async with database.transaction() as made:
        await fill(made)
    async with database.transaction() as made:
        if made.dialect.name == "postgresql" and ROWS < 100_000:
            await made.execute(text("SET LOCAL enable_seqscan = off"))
        yield made
    await database.stop()


async def fill(connection: AsyncConnection) -> None:
    for first in range(0, ROWS, 5_000):
        numbers = range(first, min(first + 5_000, ROWS))
        for table in tables.metadata.sorted_tables:
            await connection.execute(insert(table), [row(table, number) for number in numbers])
    if connection.dialect.name == "postgresql":
        await connection.execute(text("ANALYZE"))


def row(table: Any, number: int) -> dict[str, Any]:
    """A row as most are: told, delivered, read."""
    values: dict[str, Any] = {}
    for column in table.columns:
        kind = column.type.python_type
        default: Any = {str: f"{number}.{column.name}"[:10], int: 1, bool: False, datetime: NOW}[kind]
        values[column.name] = default
    values |= {name: None for name in ("claim", "archived_at", "suppressed_until", "expires_at") if name in values}
    known = {
        "notification": f"n{number % 97}", "recipient": f"u{number}", "step": "", "status": "sent", "items": None,
        "details": None, "audience": "{}", "data": "{}", "options": "{}", "settings": "{}", "kind": "email",
        "address": f"a{number}", "user": f"u{number}", "due_at": None, "topic": f"t{number % 97}",
        "digest": f"d{number}",
    }  # fmt: skip
    return values | {name: value for name, value in known.items() if name in values}


async def everything(connection: AsyncConnection) -> None:
    """Each query of the store."""
    at, who, day = connection, "u5", NOW.date().isoformat()
    page = [f"u{number}" for number in range(200)]
    (delivery,) = await deliveries.page(at, "n5", "", 1)
    await deliveries.add(at, [delivery])
    await deliveries.reached(at, "n5", "", page)
    await deliveries.claim(at, [delivery.id], "job")
    await deliveries.record(at, [Outcome(delivery, "sent", "")], NOW)
    await deliveries.move(at, delivery.id, "delivered", "", ["sent"])
    await deliveries.inbox_moves(at, [("n5", who)], "read", ["sent"])
    await deliveries.find(at, delivery.id)
    await deliveries.of_provider(at, "p", ["email"])
    await deliveries.stranded(at, NOW, 500)
    await deliveries.abandoned(at, NOW)
    await deliveries.release(at, [delivery.id], "job")
    await deliveries.touch(at, [delivery.id])
    await deliveries.count(at, "n5")
    await deliveries.waiting(at)
    await addresses.suppressed(at, ["a1", "a2"])
    await addresses.count_against(at, "email", "a1", "bounces", 1, "", None)
    await addresses.absolve(at, "email", "a2")
    await addresses.devices(at, page)
    await addresses.remove_device(at, "d")
    await addresses.subscribe(at, "t1", "new")
    await addresses.leave(at, "t1", "new")
    await addresses.subscribers(at, "t1", "", 500)
    await addresses.shared_key(at, "links", "k")
    item = InboxItem("i", "n5", "news", "t", "t", None, NOW, None, None)
    await inbox.add(at, ["new"], [item])
    await inbox.page(at, who, "z", 50, unread=True, archived=False)
    await inbox.after(at, who, "", 50)
    await inbox.newest(at, who)
    await inbox.unread(at, who)
    await inbox.find(at, who, "i")
    await inbox.read(at, who, None)
    await inbox.archive(at, who, "i")
    await inbox.seen(at, who, ["i"])
    await inbox.changed(at, who, NOW, 500)
    await inbox.noticed(at, [("n5", each) for each in page])
    await inbox.ignored(at, "n5", "", 500)
    gathering = {"fresh": "d", "now": NOW, "closes_at": NOW}
    await digests.gather(at, who, "news", "k", "n5", **gathering)  # type: ignore[arg-type]
    await digests.stranded(at, NOW - timedelta(days=1), 500)
    await digests.close(at, "d")
    kept = Kept("n", Notice("news", {}, "key"), Audience(), "", "", NOW, None, None, 0)
    await notices.add(at, kept)
    await notices.find(at, "n")
    await notices.several(at, ["n"])
    await notices.of_key(at, "key")
    await notices.told(at, "n", 1, all_of_them=False)
    await notices.stranded(at, NOW, 500)
    await notices.forget(at, NOW - timedelta(days=1), 500)
    await preferences.put(at, who, Settings())
    await preferences.find(at, who)
    await preferences.several(at, page)
    await preferences.take(at, who, "news", day, 5)
    await preferences.forget_days(at, "2000-01-01")
    await push.put(at, "d", who, Asked("https://push.example", "k", "a"), "v")
    await push.keep_newest(at, who, 1)
    await push.of_user(at, who)
    await push.several(at, ["d"])
    await push.used(at, ["d"], NOW)
    await push.remove(at, who, "d")
    await leaving.remove(at, who)


async def test_no_table_is_read_from_end_to_end(connection: AsyncConnection) -> None:
    asked: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, ___: Any, many: bool) -> None:
        asked.append((statement, parameters[0] if many else parameters))

    event.listen(connection.sync_connection, "before_cursor_execute", note)
    await everything(connection)
    event.remove(connection.sync_connection, "before_cursor_execute", note)
    whole = []
    postgresql = connection.dialect.name == "postgresql"
    assert len(asked) > 60
    for statement, parameters in dict.fromkeys((statement, tuple(given)) for statement, given in asked):
        explain = "EXPLAIN " if postgresql else "EXPLAIN QUERY PLAN "
        plan = "\n".join(str(each) for each in await connection.exec_driver_sql(explain + statement, parameters))
        if "Seq Scan" in plan or "SCAN notification" in plan:
            whole.append(f"{statement}\n{plan}")
    assert not whole, "\n\n".join(whole)
