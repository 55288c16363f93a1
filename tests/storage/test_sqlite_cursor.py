"""The connection to SQLite: a statement takes one turn of its thread, and says what the driver's own would."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from runtime.storage.adapters.steady import SteadyConnection
from runtime.storage.database import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database("sqlite", tmp_path, "test", root=tmp_path)
    await made.start()
    async with made.transaction() as connection:
        await connection.execute(text("CREATE TABLE cups (id INTEGER PRIMARY KEY, size INTEGER UNIQUE)"))
    yield made
    await made.stop()


async def test_a_statement_takes_one_turn(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []
    executed = SteadyConnection._execute

    async def counted(self: SteadyConnection, fn: Any, *args: Any, **more: Any) -> Any:
        turns.append(fn.__name__)
        return await executed(self, fn, *args, **more)

    monkeypatch.setattr(SteadyConnection, "_execute", counted)
    async with database.reading() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
    assert turns == ["whole", "whole", "rollback"]  # BEGIN, the query, the end


async def test_what_a_statement_says(database: Database) -> None:
    rows = [{"size": size} for size in (1, 2, 3)]
    async with database.transaction() as connection:
        assert (await connection.execute(text("INSERT INTO cups (size) VALUES (:size)"), rows)).rowcount == 3
        one = await connection.execute(text("INSERT INTO cups (size) VALUES (4)"))
        assert one.lastrowid == 4
        changed = await connection.execute(text("UPDATE cups SET size = size + 10 WHERE size > 2 RETURNING id"))
        assert list(changed.scalars()) == [3, 4]
        assert (await connection.execute(text("UPDATE cups SET size = 0 WHERE size = 99"))).rowcount == 0
        found = await connection.execute(text("SELECT id, size FROM cups ORDER BY id"))
        assert list(found.keys()) == ["id", "size"]
        assert found.fetchone() == (1, 1)
        assert found.fetchmany(2) == [(2, 2), (3, 13)]
        assert found.fetchall() == [(4, 14)]
        streamed = await connection.stream(text("SELECT id FROM cups ORDER BY id"))
        assert [row.id async for row in streamed] == [1, 2, 3, 4]


async def test_a_statement_that_fails_leaves_the_connection_as_it_was(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("INSERT INTO cups (size) VALUES (1)"))

    async def twice() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO cups (size) VALUES (2)"))
            await connection.execute(text("INSERT INTO cups (size) VALUES (1)"))

    with pytest.raises(IntegrityError):
        await twice()
    async with database.reading() as connection:
        assert list((await connection.execute(text("SELECT size FROM cups"))).scalars()) == [1]


async def test_one_that_is_cancelled_holds_no_lock(database: Database, tmp_path: Path) -> None:
    running = asyncio.Event()

    async def slow() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO cups (size) VALUES (1)"))
            running.set()
            await connection.execute(text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000)"
                                          " SELECT count(*) FROM n"))  # fmt: skip
            await asyncio.sleep(30)

    task = asyncio.create_task(slow())
    await running.wait()
    task.cancel()
    await asyncio.wait({task})
    with sqlite3.connect(tmp_path / "test.db", timeout=5) as other:
        other.execute("INSERT INTO cups (size) VALUES (1)")
    other.close()
