"""What the database promises, on each back-end."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from runtime.errors import Fault
from runtime.services.audit.store import metadata as audit
from runtime.services.billing.store import metadata as billing
from runtime.services.outbox.store import metadata as outbox
from runtime.storage.database import Database
from runtime.storage.schema import MIGRATIONS, revisions
from runtime.storage.tables import environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from sqlalchemy import Connection

    from tests.postgres import Postgres

numbers = Table("numbers", MetaData(), Column("id", Integer, primary_key=True), Column("word", String(10)))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, postgres: Postgres) -> str:
    return "sqlite" if request.param == "sqlite" else postgres.database()


@pytest.fixture
async def make(url: str, tmp_path: Path) -> AsyncIterator[Callable[..., Database]]:
    made: list[Database] = []

    def database(name: str = "core") -> Database:
        # The file carries the environment's name; here they shall meet in one.
        made.append(Database("sqlite:///core.db" if url == "sqlite" else url, tmp_path, name, root=tmp_path))
        return made[-1]

    yield database
    for one in made:
        await one.stop()


@pytest.fixture
async def database(make: Callable[..., Database]) -> Database:
    made = make()
    await made.start()
    async with made.transaction() as connection:
        await connection.run_sync(numbers.create)
    return made


async def count(database: Database) -> int:
    async with database.engine.connect() as connection:
        return (await connection.execute(select(func.count()).select_from(numbers))).scalar_one()


async def test_the_schema_is_on_the_newest_revision(database: Database) -> None:
    async with database.engine.connect() as connection:
        found = await connection.execute(text("SELECT version_num FROM alembic_version"))
        assert found.scalar_one() == revisions()[-1]


TABLES = [environment, *outbox.tables.values(), *billing.tables.values(), *audit.tables.values()]


@pytest.mark.parametrize("table", TABLES, ids=str)
async def test_the_migrations_make_the_tables_that_the_code_uses(database: Database, table: Table) -> None:
    def found(synchronous: Connection) -> tuple[dict[str, bool], list[str], set[tuple[str | None, ...]]]:
        about = inspect(synchronous)
        columns = {column["name"]: column["nullable"] for column in about.get_columns(table.name)}
        indexes = {tuple(index["column_names"]) for index in about.get_indexes(table.name) if not index["unique"]}
        return columns, about.get_pk_constraint(table.name)["constrained_columns"], indexes

    async with database.engine.connect() as connection:
        columns, key, indexes = await connection.run_sync(found)
    assert columns == {column.name: bool(column.nullable) for column in table.columns}
    assert key == [column.name for column in table.primary_key]
    assert indexes == {tuple(column.name for column in index.columns) for index in table.indexes}


async def test_a_started_one_starts_again(make: Callable[..., Database]) -> None:
    first = make()
    await first.start()
    await first.stop()
    await first.start()
    await first.stop()
    await make().start()


async def test_stopping_one_that_never_started_is_fine(make: Callable[..., Database]) -> None:
    made = make()
    await made.stop()
    with pytest.raises(Fault, match="not started"):
        _ = made.engine
    assert (await made.health()).status == "down"


async def test_many_start_at_once_and_one_migrates(make: Callable[..., Database]) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(make().start)
    database = make()
    await database.start()
    async with database.engine.connect() as connection:
        assert (await connection.execute(select(func.count()).select_from(environment))).scalar_one() == 1


async def test_another_environments_database_is_refused(make: Callable[..., Database]) -> None:
    await make("core").start()
    with pytest.raises(Fault) as caught:
        await make("shop").start()
    assert re.search(r'is of the environment "core", not "shop"$', caught.value.message)
    assert "a database of its own" in caught.value.remedy


async def test_a_newer_schema_is_refused(make: Callable[..., Database]) -> None:
    database = make()
    await database.start()
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Fault, match="has schema 9999, newer than ours") as caught:
        await make().start()
    assert "version of this program" in caught.value.remedy


async def test_a_transaction_is_kept_whole_or_not_at_all(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(insert(numbers).values(id=1))
    with pytest.raises(IntegrityError):
        await insert_twice(database)
    assert await count(database) == 1


async def insert_twice(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(insert(numbers).values(id=2))
        await connection.execute(insert(numbers).values(id=2))


async def test_a_transaction_that_the_database_has_given_up_does_not_seem_to_commit(database: Database) -> None:
    """PostgreSQL refuses all that follows a failed statement, and then answers COMMIT with ROLLBACK and no error."""
    try:
        async with database.transaction() as connection:
            await connection.execute(insert(numbers).values(id=1))
            with suppress(IntegrityError):
                await connection.execute(insert(numbers).values(id=1))
    except DBAPIError:
        assert await count(database) == 0
    else:
        assert await count(database) == 1


async def test_a_failed_statement_within_a_savepoint_harms_nobody(database: Database) -> None:
    for number in (1, 2):  # the second on the same connection, which knows nothing of the first
        async with database.transaction() as connection:
            await connection.execute(insert(numbers).values(id=number))
            with suppress(IntegrityError):
                async with connection.begin_nested():
                    await connection.execute(insert(numbers).values(id=number))
    assert await count(database) == 2


async def test_a_cancelled_transaction_is_rolled_back_and_its_connection_free(database: Database) -> None:
    for _ in range(30):  # more than there are connections
        with anyio.CancelScope() as scope:
            async with database.transaction() as connection:
                await connection.execute(insert(numbers).values(id=1))
                scope.cancel()
                await anyio.sleep_forever()
    assert await count(database) == 0


@pytest.mark.parametrize("limit", [0.0, 0.002, 0.005, 0.01, 0.02, 0.04])
async def test_cancelled_starts_and_queries_leave_no_lock_and_no_connection_behind(
    make: Callable[..., Database], limit: float
) -> None:
    with anyio.move_on_after(limit):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(make().start)
    database = make()
    with anyio.fail_after(10):
        await database.start()

    async def write() -> None:
        async with database.transaction() as connection:
            for _ in range(10):
                await connection.execute(text("UPDATE environment SET name = name"))

    with anyio.move_on_after(limit):
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(write)
    with anyio.fail_after(10):
        await write()
    assert (await database.health()).details["connections_in_use"] == 0


async def test_writers_wait_for_each_other(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(insert(numbers).values(id=1, word="0"))

    async def add_one() -> None:
        async with database.transaction() as connection:
            query = select(numbers.c.word).where(numbers.c.id == 1)
            if connection.dialect.name == "postgresql":
                query = query.with_for_update()
            word = (await connection.execute(query)).scalar_one()
            await anyio.sleep(0)
            await connection.execute(numbers.update().values(word=str(int(word or 0) + 1)))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(add_one)
    async with database.engine.connect() as connection:
        assert (await connection.execute(select(numbers.c.word))).scalar_one() == "20"


async def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(insert(numbers).values(id=1))
        with anyio.fail_after(2):
            assert await count(database) == 0


async def test_it_says_how_it_is(database: Database) -> None:
    health = await database.health()
    assert health.status == "operational"
    assert health.details["kind"] in database.address
    assert health.details["size_bytes"] > 0
    assert health.details["version"]
    assert health.details["connections_in_use"] == 0


def test_each_migration_follows_the_one_before() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    found = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert found[::-1] == revisions()


async def test_a_connection_in_use_at_the_stop_is_closed_when_it_is_given_back(database: Database) -> None:
    async with database.transaction() as connection:
        held: Any = (await connection.get_raw_connection()).driver_connection
        await database.stop()
        await connection.execute(insert(numbers).values(word="late"))
    assert held.is_closed() if hasattr(held, "is_closed") else held._connection is None
    assert await count(database) == 1
