"""`specs/production.yaml` on this machine: OpenBao, PostgreSQL, Redis over TLS, and load on the environment."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import redis

from runtime.testing import running
from tests import openbao, postgres, valkey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.testing import RunningEnvironment

ROOT = Path(__file__).parents[1]
CERTIFICATE = Path(__file__).parent / "storage" / "localhost.pem"
PACE = 0.005
"""Seconds between two calls of a thread: load, not overload."""
POLICY = """
path "secret/data/vrooli/*" { capabilities = ["read"] }
path "secret/metadata/vrooli/*" { capabilities = ["read"] }
"""
TASKS = """
import base64, logging, os, pathlib
from runtime import JobContext, task

@task("busy")
async def busy(job: JobContext, payload: dict) -> dict:
    return {"number": payload["number"]}

@task("leak")
async def leak(job: JobContext, payload: dict) -> None:
    secret = pathlib.Path(os.environ["SECRET_ID_FILE"]).read_text()
    logging.getLogger("tasks").warning("the secret is %s", secret)
    raise ValueError(f"{secret} {base64.b64encode(secret.encode()).decode()}")
"""


class Production:
    """The servers and what is in them.

    Args:
        known: every secret text that there ever was, to be searched for.
    """

    def __init__(self, vault: openbao.OpenBao, database: postgres.Postgres, server: valkey.ValkeyServer) -> None:
        self.vault = vault
        self.database = database
        self.redis = server
        self.known: list[str] = []
        self._shared: dict[str, str] = {}

    def secret(self, text: str) -> str:
        """Notes a text that must be found nowhere."""
        self.known.append(text)
        return text

    def fill(self) -> None:
        """Makes what the spec refers to."""
        self.database.run("createdb", "core_services")
        self.sql("CREATE ROLE core LOGIN SUPERUSER")
        self.vault.put("vrooli/config/shared-all", sentry_dsn="https://public@errors.example.com/1")
        self.rotate_shared(
            api_key_encryption_key=base64.b64encode(os.urandom(32)).decode(),
            openai_api_key="sk-openai-of-the-house-0001",
            anthropic_api_key="sk-ant-of-the-house-0001",
            mistral_api_key="mistral-of-the-house-0001",
            smtp_username="smtp-user-0001",
            smtp_password="smtp p@ssw0rd 0001",
            twilio_account="AC-twilio-account-0001",
            twilio_token="twilio-token-0001",
        )
        self.rotate_database("pg p@ss/w%rd+0001")
        self.rotate_redis("redis p@ss/w%rd+0001", known="")

    def sql(self, command: str) -> str:
        return self.database.run("psql", "-d", "core_services", "-Atc", command)

    def rotate_database(self, password: str) -> str:
        """Returns the moment after which the old password opens nothing any more."""
        self.sql(f"ALTER ROLE core PASSWORD '{self.secret(password)}'")
        self.vault.put("vrooli/secrets/postgres", username="core", password=password)
        return self.sql("SELECT now()").strip()

    def await_new_connections(self, since: str) -> None:
        """Returns when no connection of ours to the database is older than a moment."""
        deadline = time.monotonic() + 15
        old = f"SELECT count(*) FROM pg_stat_activity WHERE usename = 'core' AND backend_start < '{since}'"
        while self.sql(old).strip() != "0":
            assert time.monotonic() < deadline, "connections with the old password stay open"
            time.sleep(0.05)

    def cut_redis(self, password: str) -> None:
        """Closes every connection to Redis: whoever comes back must sign in."""
        with redis.Redis(port=self.redis.port, password=password) as admin:
            assert admin.client_kill_filter(_type="normal", skipme=True)

    def rotate_redis(self, password: str, *, known: str) -> None:
        with redis.Redis(port=self.redis.port, password=known or None) as admin:
            admin.config_set("requirepass", self.secret(password))
        self.vault.put("vrooli/secrets/redis", password=password)

    def rotate_shared(self, **changed: str) -> None:
        for text in changed.values():
            self.secret(text)
        self._shared |= changed
        self.vault.put("vrooli/secrets/shared-server-jobs", **self._shared)


@contextmanager
def production(folder: Path) -> Iterator[tuple[Production, RunningEnvironment]]:
    """Boots the spec; ports and figures that a test needs are laid over it, nothing else."""
    (folder / "busy.py").write_text(TASKS)
    with (
        openbao.running() as vault,
        postgres.running() as database,
        valkey.running() as server,
        over_tls(server.port) as port,
    ):
        found = Production(vault, database, server)
        found.fill()
        role, role_id = vault.approle(vault.policy(POLICY), token_ttl="20s", token_max_ttl="10m")
        (folder / "secret_id").write_text(found.secret(vault.secret_id(role)))
        spec = folder / "spec.yaml"
        spec.write_text(json.dumps(overlay(port, database.port)))
        environ = {
            "VAULT_ADDR": vault.url,
            "VAULT_ROLE_ID": role_id,
            "PUBLIC_URL": "https://core.example.com",
            "POSTGRES_HOST": "127.0.0.1",
            "REDIS_HOST": "localhost",
            "SMTP_HOST": "127.0.0.1",
            "SECRET_ID_FILE": str(folder / "secret_id"),
        }
        with running(spec, environ=environ, state=folder / "state") as environment:
            yield found, environment


def overlay(redis_port: int, database_port: int) -> dict[str, Any]:
    names = ("postgres", "redis", "shared-secrets", "shared-config")
    user = "${vault:postgres#username}:${vault:postgres#password}"
    return {
        "extends": str(ROOT / "specs" / "production.yaml"),
        "plugins": ["busy"],
        "storage": {
            "redis": f"rediss://:${{vault:redis#password}}@${{REDIS_HOST}}:{redis_port}/0?ssl_ca_certs={CERTIFICATE}",
            "database": f"postgresql://{user}@${{POSTGRES_HOST}}:{database_port}/core_services",
        },
        "api": {"rate_limit": "1000000/m"},
        "queues": {
            "busy": {"handler": "busy", "concurrency": 4},
            "leak": {"handler": "leak", "retry": {"attempts": 1}},
        },
        "secrets": {
            "vault": {
                "auth": {"secret_id": "${file:secret_id}"},
                "paths": {name: {"refresh": "500ms"} for name in names},
            }
        },
    }


@contextmanager
def over_tls(port: int) -> Iterator[int]:
    """Gives TLS to a server that has none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    loop, ready = asyncio.new_event_loop(), threading.Event()
    opened: list[int] = []
    over = asyncio.Event()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    async def serve() -> None:
        server = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=context)
        opened.append(server.sockets[0].getsockname()[1])
        ready.set()
        await over.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.05)

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    try:
        assert ready.wait(10)
        yield opened[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


class Traffic:
    """Calls from several threads that go to the database and to Redis; each must succeed."""

    def __init__(self, environment: RunningEnvironment, key: str) -> None:
        self.done = 0
        self.failures: list[str] = []
        self._environment = environment
        self._key = key
        self._over = threading.Event()
        calls: list[Callable[[int], tuple[str, str, Any]]] = [
            lambda n: ("POST", "/v1/queues/busy/jobs", {"payload": {"number": n}}),
            lambda n: ("POST", "/v1/queues/busy/jobs", {"payload": {"number": n}}),
            lambda _: ("PUT", "/v1/provider-keys/openai", {"key": self._key}),
            lambda _: ("GET", "/v1/provider-keys/openai", None),
            lambda _: ("GET", "/v1/encryption-keys", None),
        ]
        self._threads = [threading.Thread(target=self._call, args=[call]) for call in calls]

    @contextmanager
    def flowing(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()

    def await_flow(self, calls: int = 50) -> None:
        """Returns when so many more calls have been answered."""
        wanted, deadline = self.done + calls, time.monotonic() + 30
        while self.done < wanted:
            assert time.monotonic() < deadline, f"no flow: {self.failures[:3]}"
            time.sleep(0.01)

    def _call(self, made: Callable[[int], tuple[str, str, Any]]) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            method, path, body = made(number)
            try:
                answer = self._environment.request(method, path, body)
            except OSError as error:
                self.failures.append(f"{method} {path}: {error}")
                continue
            if answer.status >= 400 and not (method == "GET" and answer.status == 404):
                self.failures.append(f"{method} {path}: {answer.status} {answer.body}")
            self.done += 1
            time.sleep(PACE)


def await_event(environment: RunningEnvironment, type_: str, *, after: str = "0", **data: Any) -> dict[str, Any]:
    """Waits until an event with such data stands in the stream `system`.

    Args:
        after: the position of an earlier event, which does not count.
    """
    deadline = time.monotonic() + 20
    while True:
        answer = environment.get(f"/v1/streams/system/events?after={after}")
        assert answer.status == 200, answer.body
        events = answer.body["items"]
        for event in reversed(events):
            if event["type"] == type_ and data.items() <= event["data"].items():
                found: dict[str, Any] = event
                return found
        assert time.monotonic() < deadline, f"no {type_} {data}: {events}\n{environment.output[-3000:]}"
        time.sleep(0.05)


def forms(secret: str) -> set[bytes]:
    """How a secret may stand somewhere: plain, URL-encoded, escaped for JSON, in base64 at each offset, in hex."""
    raw = secret.encode()
    found = {raw, quote(secret).encode(), quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode()}
    found |= {raw.hex().encode(), raw.hex().upper().encode()}
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw)
        inner = encoded[4 * (offset > 0) : len(encoded) // 4 * 4 - 4]
        found |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return {form for form in found if len(form) >= 8}
