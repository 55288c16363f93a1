"""Real servers for the tests of the services: Valkey, in folders and on sockets of their own."""

from __future__ import annotations

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

from runtime.storage.valkey import binary
from tests.wired import wired

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from runtime.storage.wire import WiredRedis


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
