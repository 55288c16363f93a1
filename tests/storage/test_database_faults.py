"""Why a database cannot be used: each reason has its own words, and none shows the password."""

from __future__ import annotations

import asyncio
import builtins
import os
import socket
import sqlite3
import stat
from contextlib import AsyncExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from runtime.errors import Fault, Unreachable
from runtime.storage.adapters import postgresql
from runtime.storage.database import Database
from runtime.storage.filelock import FileLock
from tests.postgres import running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import Postgres


async def refusal(url: str, folder: Path) -> Fault:
    database = Database(url, folder, "core", root=folder)
    with pytest.raises(Fault) as caught:
        await database.start()
    await database.stop()
    fault = caught.value
    assert "hunter2" not in str(fault)
    assert fault.remedy
    return fault


class TestPostgresql:
    async def test_nobody_listens(self, tmp_path: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            fault = await refusal(f"postgresql://core:hunter2@127.0.0.1:{port}/core?sslmode=disable", tmp_path)
        assert isinstance(fault, Unreachable)
        assert fault.exit_code == 3
        assert fault.address == f"postgresql://127.0.0.1:{port}/core"
        assert "connect" in fault.reason
        assert "leave it out to use SQLite" in fault.remedy

    async def test_an_unknown_host(self, tmp_path: Path) -> None:
        fault = await refusal("postgresql://core:hunter2@nowhere.invalid/core", tmp_path)
        assert isinstance(fault, Unreachable)

    async def test_a_wrong_password(self, postgres: Postgres, tmp_path: Path) -> None:
        fault = await refusal(postgres.url("postgres", password="hunter2"), tmp_path)
        assert isinstance(fault, Unreachable)
        assert fault.reason == "it refuses the password"

    async def test_an_unknown_database(self, postgres: Postgres, tmp_path: Path) -> None:
        fault = await refusal(postgres.url("absent"), tmp_path)
        assert isinstance(fault, Unreachable)
        assert fault.reason == "it has no such database"
        assert fault.remedy == "Create it: `createdb absent`."

    async def test_a_server_without_tls(self, postgres: Postgres, tmp_path: Path) -> None:
        fault = await refusal(postgres.url("postgres") + "?sslmode=require", tmp_path)
        assert isinstance(fault, Unreachable)
        assert fault.reason == "it does not speak TLS"
        assert "sslmode" in fault.remedy

    async def test_no_answer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        monkeypatch.setattr("runtime.storage.adapters.postgresql.REACH_LIMIT", 0.05)
        async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            fault = await refusal(f"postgresql://core:hunter2@127.0.0.1:{port}/core", tmp_path)
        assert isinstance(fault, Unreachable)
        assert fault.reason == "no answer within 0.05 s"

    async def test_a_user_who_may_not_make_tables(self, postgres: Postgres, tmp_path: Path) -> None:
        url = postgres.database()
        postgres.run("psql", "-d", "postgres", "-c", "CREATE ROLE guest LOGIN PASSWORD 'hunter2'")
        name = url.rpartition("/")[2]
        fault = await refusal(postgres.url(name, user="guest", password="hunter2"), tmp_path)
        assert isinstance(fault, Unreachable)
        assert fault.reason == "the user may not do that"

    async def test_a_migration_under_way_elsewhere(
        self, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import asyncpg

        from runtime.storage.adapters.postgresql import MIGRATION_LOCK

        monkeypatch.setattr("runtime.storage.adapters.postgresql.LOCK_LIMIT", 0.05)
        url = postgres.database()
        other = await asyncpg.connect(url)
        await other.execute(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")
        fault = await refusal(url, tmp_path)
        await other.close()
        assert isinstance(fault, Unreachable)
        assert fault.reason == "another process migrates it"

    @pytest.mark.parametrize("url", ["postgresql://core:hunter2@host:port/core", "postgresql://core:hunter2@[::1/core"])
    async def test_what_is_no_address(self, url: str, tmp_path: Path) -> None:
        assert "is no address of a PostgreSQL database" in (await refusal(url, tmp_path)).message

    async def test_a_missing_driver(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = builtins.__import__

        def without(name: str, *arguments: Any, **named: Any) -> Any:
            if name == "asyncpg":
                raise ModuleNotFoundError("No module named 'asyncpg'", name="asyncpg")
            return real(name, *arguments, **named)

        monkeypatch.setattr(builtins, "__import__", without)
        fault = await refusal("postgresql://core:hunter2@host/core", tmp_path)
        assert fault.remedy == "Install it: pip install 'declarative-runtime[postgresql]'"

    async def test_a_broken_connection_is_replaced(self, postgres: Postgres, tmp_path: Path) -> None:
        database = Database(postgres.database(), tmp_path, "core")
        await database.start()
        name = database.address.rpartition("/")[2]
        query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        postgres.run("psql", "-d", "postgres", "-c", query)
        async with database.transaction() as connection:
            assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
        await database.stop()

    async def test_with_all_connections_in_use_a_request_is_told_to_come_back(
        self, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        database = Database(postgres.database(), tmp_path, "core")
        await database.start()
        monkeypatch.setattr(database.engine.pool, "_timeout", 0.1)
        async with AsyncExitStack() as taken:
            for _ in range(2 * postgresql.CONNECTIONS):
                await taken.enter_async_context(database.reading())
            with pytest.raises(Unreachable, match="all connections are in use, and too many requests wait") as caught:
                await taken.enter_async_context(database.reading())
        assert "again" in caught.value.remedy
        async with database.reading() as connection:
            assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
        await database.stop()

    async def test_one_that_goes_away_is_out_of_reach(self, tmp_path: Path) -> None:
        with running() as server:
            database = Database(server.database(), tmp_path, "core")
            await database.start()
        with pytest.raises(Unreachable, match=r"storage\.database: cannot reach postgresql://127"):
            async with database.transaction():
                raise AssertionError("there is no connection")
        health = await database.health()
        assert health.status == "down"
        assert database.address in health.reason
        await database.stop()


class TestSqlite:
    async def test_the_file_is_its_owners_alone(self, tmp_path: Path) -> None:
        database = Database("sqlite", tmp_path / "state", "core")
        await database.start()
        files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "state").iterdir()}
        await database.stop()
        assert files.keys() >= {"core.db", "core.db-wal"}
        assert set(files.values()) == {0o600}

    @pytest.mark.parametrize(
        ("url", "place"),
        [
            ("sqlite", "state/core.db"),
            ("sqlite:///data/app.db", "root/data/app.db"),
            ("sqlite:///data/app.db?mode=ro", "root/data/app.db"),
        ],
    )
    def test_where_it_is(self, url: str, place: str, tmp_path: Path) -> None:
        database = Database(url, tmp_path / "state", "core", root=tmp_path / "root")
        assert database.address == f"sqlite:///{tmp_path / place}"

    def test_an_absolute_path_stays(self, tmp_path: Path) -> None:
        path = tmp_path / "app.db"
        assert Database(f"sqlite:///{path}", tmp_path / "state", "core").address == f"sqlite:///{path}"

    async def test_a_path_with_odd_characters(self, tmp_path: Path) -> None:
        database = Database("sqlite", tmp_path / "a b?c#d%20e ä", "core")
        await database.start()
        await database.stop()
        assert (tmp_path / "a b?c#d%20e ä" / "core.db").stat().st_size > 0

    async def test_what_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "core.db").write_text("hello, I am a text" * 100)
        fault = await refusal("sqlite", tmp_path)
        assert fault.message == f"storage.database: {tmp_path / 'core.db'} is no SQLite database"

    async def test_a_damaged_one(self, tmp_path: Path) -> None:
        connection = sqlite3.connect(tmp_path / "core.db")
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('0001')")
        connection.commit()
        connection.close()
        whole = (tmp_path / "core.db").read_bytes()
        (tmp_path / "core.db").write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
        assert "is damaged" in (await refusal("sqlite", tmp_path)).message

    async def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "state").write_text("a file")
        assert "cannot write" in (await refusal("sqlite", tmp_path / "state")).message

    async def test_a_folder_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "core.db").mkdir()
        assert "cannot write" in (await refusal("sqlite", tmp_path)).message

    async def test_one_that_another_process_writes_to(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("runtime.storage.adapters.sqlite.PRAGMAS", ("busy_timeout = 10",))
        with closing(sqlite3.connect(tmp_path / "core.db")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            assert "is locked by another process" in (await refusal("sqlite", tmp_path)).message

    async def test_a_migration_under_way_elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("runtime.storage.adapters.sqlite.LOCK_LIMIT", 0.05)
        lock = FileLock(tmp_path / "core.db.lock")
        assert lock.try_acquire()
        assert f"process {os.getpid()} migrates" in (await refusal("sqlite", tmp_path)).message
        lock.release()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://core:hunter2@host/core", 'cannot use "mysql"'),
        ("sqlite:///:memory:", "in memory would be lost"),
        ("postgresql://", 'cannot use "postgresql"'),
        ("nonsense", 'cannot use "nonsense"'),
    ],
)
def test_other_addresses_are_refused(url: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(Fault, match=message) as caught:
        Database(url, tmp_path, "core")
    assert "hunter2" not in str(caught.value)
