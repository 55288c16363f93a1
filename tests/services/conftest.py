"""Real servers for the tests of the services: Valkey, in folders and on sockets of their own, and databases."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
import redis.retry
from redis.backoff import NoBackoff

from runtime.storage.database import Database
from runtime.storage.valkey import binary
from tests.postgres import postgres as postgres
from tests.wired import wired

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from runtime.storage.wire import WiredRedis
    from tests.postgres import Postgres


class Server:
    """A Valkey server that can be killed and brought back with its data."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="runtime-test-"))
        self.socket = self.folder / "valkey.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                str(binary()),
                *("--port", "0", "--unixsocket", str(self.socket), "--save", "", "--dir", str(self.folder)),
                # `everysec` answers before it has written while a sync is under way: a killed server then
                # loses what it has acknowledged, and these tests count every job.
                *("--appendonly", "yes", "--appendfsync", "always", "--loglevel", "warning"),
            ],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        once = redis.retry.Retry(NoBackoff(), 0)
        with redis.Redis(unix_socket_path=str(self.socket), retry=once) as probe:
            while True:
                try:
                    probe.ping()
                    return
                except redis.ConnectionError:
                    assert time.monotonic() < deadline, "valkey did not start"
                    time.sleep(0.01)

    def kill(self) -> None:
        """Ends it as a crash would."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def client(self, *, retries: int = 0) -> WiredRedis:
        return wired(self.socket, patience=0.05 * retries)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Server]:
    server = Server()
    server.start()
    yield server
    server.close()


@pytest.fixture
def mortal_server() -> Iterator[Server]:
    """A server of this test's own, to be killed."""
    server = Server()
    server.start()
    yield server
    server.close()


@pytest.fixture
async def client(shared_server: Server) -> AsyncIterator[WiredRedis]:
    """A client of an empty server."""
    client = shared_server.client()
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def schema(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A file of SQLite and the name of a database of PostgreSQL with the newest schema: to copy it is faster than to
    migrate for each test."""
    folder, url = tmp_path_factory.mktemp("schema"), postgres.database()

    async def migrate() -> None:
        for each in ("sqlite", url):
            database = Database(each, folder, "test", root=folder)
            await database.start()
            await database.stop()

    asyncio.run(migrate())
    return folder / "test.db", url.rpartition("/")[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, postgres: Postgres, schema: tuple[Path, str], tmp_path: Path) -> str:
    """A database of the environment `test` with the newest schema; that of SQLite in the test's folder."""
    file, name = schema
    if request.param == "sqlite":
        shutil.copy(file, tmp_path)
        return "sqlite"
    return postgres.database(like=name)
