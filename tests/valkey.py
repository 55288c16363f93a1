"""A real Valkey for tests, of our own launcher's binary and without its launcher.

Use it from a conftest:

    from tests.valkey import valkey
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator  # noqa: TC003 - pytest reads it
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.storage.valkey import binary

STARTING = 20.0


class ValkeyServer:
    """A running server, on a port of 127.0.0.1 and on a Unix socket."""

    def __init__(self, port: int, path: Path, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.path = path
        self.process = process

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """One server for the whole run, without a password; tests keep apart by the prefixes of their keys."""
    with running() as server:
        yield server


@contextmanager
def running(*options: str, port: int = 0) -> Iterator[ValkeyServer]:
    """Runs a server that keeps nothing.

    Args:
        options: further directives, `"--requirepass", "secret"`.
        port: where it listens; a free one by default.
    """
    with tempfile.TemporaryDirectory(prefix="runtime-valkey-") as folder:
        path, port = Path(folder, "socket"), port or _free_port()
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(
                [binary(), "--port", str(port), "--unixsocket", path, "--save", "", "--dir", folder,
                 "--bind", "127.0.0.1", *options],
                stdout=log,
            )  # fmt: skip
        try:
            deadline = time.monotonic() + STARTING
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"Valkey did not start:\n{Path(folder, 'log').read_text()}")
                time.sleep(0.005)
            yield ValkeyServer(port, path, process)
        finally:
            process.kill()
            process.wait(5)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
