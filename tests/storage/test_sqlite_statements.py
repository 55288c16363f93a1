"""How statements get to SQLite's thread and their rows come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from runtime.storage.adapters.steady import SteadyConnection
from runtime.storage.database import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MANY = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) SELECT i FROM n")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database("sqlite", tmp_path, "core")
    await made.start()
    yield made
    await made.stop()


async def test_a_statement_is_one_turn_of_the_thread(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[Any] = []
    execute = SteadyConnection._execute

    async def counted(self: SteadyConnection, fn: Any, *args: Any, **kwargs: Any) -> Any:
        turns.append(fn)
        return await execute(self, fn, *args, **kwargs)

    monkeypatch.setattr(SteadyConnection, "_execute", counted)
    async with database.reading() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
        assert len((await connection.execute(MANY)).all()) == 300
    assert len(turns) == 4  # the transaction begins, two statements, it ends


async def test_rows_can_be_streamed(database: Database) -> None:
    async with database.reading() as connection:
        result = await connection.stream(MANY)
        assert (await result.fetchone()) == (1,)
        assert [row.i async for row in result] == list(range(2, 301))


async def test_a_failed_statement_leaves_a_connection_that_works(database: Database) -> None:
    async with database.reading() as connection:
        with pytest.raises(OperationalError, match="no such table"):
            await connection.execute(text("SELECT * FROM nothing"))
        assert (await connection.execute(text("SELECT 2"))).scalar_one() == 2


async def test_what_was_changed_is_counted(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE t (a INTEGER PRIMARY KEY)"))
        added = await connection.execute(text("INSERT INTO t VALUES (:a)"), [{"a": 1}, {"a": 2}])
        assert added.rowcount == 2
        assert (await connection.execute(text("UPDATE t SET a = a + 10"))).rowcount == 2
        returned = await connection.execute(text("DELETE FROM t WHERE a = 11 RETURNING a"))
        assert returned.all() == [(11,)]
