"""A real PostgreSQL for tests: the server of the `pgserver` wheel, or else of Debian's package.

Use it from a conftest:

    from tests.postgres import postgres
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator  # noqa: TC003 - pytest reads it
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "s3cret-of-tests"
STARTING = 30.0


class Postgres:
    """A running server.

    Args:
        binaries: the folder with its programs.
        port: on 127.0.0.1, where it asks for a password.
        sockets: the folder of its Unix socket, where it asks for none.
        process: the server.
        account: what its programs run as; `initdb` refuses root.
    """

    def __init__(
        self,
        binaries: Path,
        port: int,
        sockets: Path,
        process: subprocess.Popen[bytes],
        account: dict[str, Any],
    ) -> None:
        self.port = port
        self.process = process
        self._binaries = binaries
        self._sockets = sockets
        self._account = account
        self._names = count(1)

    def database(self, *, like: str = "template1") -> str:
        """Makes a database that holds what another one does, nothing by default, and returns its URL."""
        name = f"test{next(self._names)}"
        self.run("createdb", "--template", like, name)
        return self.url(name)

    def url(self, name: str, *, user: str = "tester", password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{name}"

    def run(self, program: str, *arguments: str) -> str:
        """Runs one of its programs as its owner."""
        done = subprocess.run(
            [self._binaries / program, "-h", self._sockets, "-p", str(self.port), "-U", "tester", *arguments],
            check=True, capture_output=True, text=True, cwd=self._sockets, **self._account,
        )  # fmt: skip
        return str(done.stdout)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the whole run; each test makes a database of its own in it."""
    with running() as server:
        yield server


@contextmanager
def running() -> Iterator[Postgres]:
    """Runs a server with its data in memory's speed: nothing of it outlives the block."""
    account = _account()
    with tempfile.TemporaryDirectory(prefix="runtime-postgres-") as temporary:
        folder = Path(temporary)
        binaries = _binaries(folder, account)
        if account:
            shutil.chown(folder, account["user"], account["group"])
        data, port = folder / "data", _free_port()
        password = folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "tester", "--pwfile", password, "--no-sync", "-E", "UTF8",
             "--locale=C", "--auth-local=trust", "--auth-host=scram-sha-256"],
            check=True, capture_output=True, cwd=folder, **account,
        )  # fmt: skip
        options = ("listen_addresses=127.0.0.1", "fsync=off", "full_page_writes=off", "max_connections=100")
        command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder)]
        command += [word for option in options for word in ("-c", option)]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **account)
        server = Postgres(binaries, port, folder, process, account)
        try:
            _wait(server, folder / "log")
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


def _wait(server: Postgres, log: Path) -> None:
    deadline = time.monotonic() + STARTING
    while True:
        try:
            server.run("psql", "-d", "postgres", "-c", "SELECT 1")
        except subprocess.CalledProcessError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}") from None
            time.sleep(0.02)
        else:
            return


def _account() -> dict[str, Any]:
    """Nobody, where the tests run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _binaries(folder: Path, account: dict[str, Any]) -> Path:
    package = importlib.util.find_spec("pgserver")
    if package is not None and package.submodule_search_locations:
        installed = Path(package.submodule_search_locations[0], "pginstall")
        if not account or _open_to_all(installed / "bin" / "postgres"):
            return installed / "bin"
        copy = folder / "installed"  # nobody may not enter the folder where the tests' own programs are
        libraries = installed.parent.with_name("pgserver.libs")  # they find them beside the package
        if libraries.is_dir():
            shutil.copytree(libraries, copy / libraries.name)
        return shutil.copytree(installed, copy / "pgserver" / "pginstall") / "bin"
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.fail("no PostgreSQL: install the development dependencies (pgserver)")
    return found[-1].parent


def _open_to_all(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o005 == 0o005 for parent in (path, *path.parents))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
