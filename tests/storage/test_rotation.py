"""Credentials that change while they are in use: not one command or transaction fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
import redis
import redis.asyncio
from sqlalchemy import text

from runtime.errors import Unreachable
from runtime.services.blocking import blocking_client
from runtime.storage.database import Database
from runtime.storage.remote import RemoteRedis
from tests.postgres import running as running_postgres
from tests.valkey import running as running_valkey

if TYPE_CHECKING:
    from pathlib import Path


async def test_the_password_of_a_database(tmp_path: Path) -> None:
    with running_postgres() as own:
        own.run("createdb", "app")
        own.run("psql", "-d", "app", "-c", "CREATE ROLE core LOGIN SUPERUSER PASSWORD 'old-password'")
        asked = []
        url = own.url("app", user="core", password="old-password")
        database = Database(url, tmp_path, "core", refused=lambda: asked.append(1))
        await database.start()
        begun, over, counted = anyio.Event(), anyio.Event(), 0

        async def long() -> None:
            async with database.transaction() as connection:
                await connection.execute(text("CREATE TABLE long (n int)"))
                begun.set()
                await over.wait()
                await connection.execute(text("INSERT INTO long VALUES (1)"))

        async def short() -> None:
            nonlocal counted
            while not over.is_set():
                async with database.transaction() as connection:
                    await connection.execute(text("SELECT 1"))
                counted += 1

        async with anyio.create_task_group() as tasks:
            for task in (long, short, short, short):
                tasks.start_soon(task)
            await begun.wait()
            own.run("psql", "-d", "app", "-c", "ALTER ROLE core PASSWORD 'new-password'")
            with pytest.raises(Unreachable, match="refuses the password"):
                await database.update({"url": own.url("app", user="core", password="wrong")})
            await database.update({"url": own.url("app", user="core", password="new-password")})
            at = counted
            with anyio.fail_after(10):
                while counted < at + 50:
                    await anyio.sleep(0.005)
            over.set()
        async with database.transaction() as connection:
            assert (await connection.execute(text("SELECT n FROM long"))).scalar_one() == 1
        await database.stop()
        left = own.run("psql", "-d", "app", "-Atc", "SELECT count(*) FROM pg_stat_activity WHERE usename = 'core'")
        assert left.strip() == "0"  # the connections of the old password are closed too


@pytest.mark.parametrize("way", ["tcp", "socket"])
async def test_the_password_of_a_redis(way: str) -> None:
    with running_valkey("--requirepass", "old-password") as own:
        url = f"redis://:{{}}@127.0.0.1:{own.port}/0" if way == "tcp" else f"unix://:{{}}@{own.path}?db=0"
        remote = RemoteRedis(url.format("old-password"))
        await remote.start()
        client, apart = remote.client, remote.dedicated()
        waiting = blocking_client(client, 1.0)
        over, counted, broken = anyio.Event(), 0, 0

        async def add() -> None:
            nonlocal counted
            while not over.is_set():
                await client.incr("n")
                counted += 1

        async def one_more() -> None:
            await client.incr("n")

        async def read() -> None:
            nonlocal broken
            while not over.is_set():
                try:
                    await waiting.execute_command("BLPOP", "nothing", 0.05)
                except redis.ConnectionError:  # killed below; whoever waits does not repeat by itself
                    broken += 1

        admin = redis.asyncio.Redis(port=own.port, password="old-password")
        async with anyio.create_task_group() as tasks:
            for task in (add, add, read):
                tasks.start_soon(task)
            await apart.get("n")
            await admin.config_set("requirepass", "new-password")
            with pytest.raises(Unreachable, match="refuses the user or password"):
                await remote.update({"url": url.format("wrong")})
            await remote.update({"url": url.format("new-password")})
            assert await admin.client_kill_filter(_type="normal", skipme=True)  # all must sign in anew
            at = counted
            with anyio.fail_after(10):
                while counted < at + 50:
                    await anyio.sleep(0.005)
            await apart.get("n")
            over.set()
        async with anyio.create_task_group() as tasks:
            for _ in range(30):  # more than there are connections: new ones are made
                tasks.start_soon(one_more)
        assert (await remote.health()).status == "operational"
        assert broken <= 1
        for each in (admin, waiting):
            await each.aclose()
        await remote.stop()


async def test_another_user_of_a_redis() -> None:
    with running_valkey() as own:
        admin = redis.asyncio.Redis(port=own.port)
        for user in ("first", "second"):
            await admin.execute_command("ACL", "SETUSER", user, "on", f">{user}-password", "~*", "+@all")  # type: ignore[no-untyped-call]
        remote = RemoteRedis(f"redis://first:first-password@127.0.0.1:{own.port}/0")
        await remote.start()
        assert await remote.client.execute_command("ACL", "WHOAMI") == b"first"
        await remote.update({"url": f"redis://second:second-password@127.0.0.1:{own.port}/0"})
        await admin.execute_command("ACL", "DELUSER", "first")  # type: ignore[no-untyped-call]
        assert await remote.client.execute_command("ACL", "WHOAMI") == b"second"
        await admin.aclose()
        await remote.stop()
