"""`specs/production.yaml` with real servers: secrets are rotated under load, Vault is sealed, and no value is seen."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import redis

from tests.production import Traffic, await_event, forms, production

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtime.testing import RunningEnvironment
    from tests.production import Production

USERS_KEY = "sk-own-key-of-the-user-0001"
PATHS = (
    *("/v1/secrets", "/v1/encryption-keys", "/v1/provider-keys/openai", "/v1/runtime", "/v1/runtime/spec"),
    *(
        "/v1/runtime/revisions",
        "/healthz",
        "/readyz",
        "/metrics",
        "/v1/queues",
        "/v1/queues/email/dead",
        "/openapi.json",
    ),
    *("/v1/streams/system/events", "/asyncapi.json"),
)


def test_production(tmp_path: Path) -> None:
    with production(tmp_path) as (place, environment):
        place.secret(USERS_KEY)
        traffic = Traffic(environment, USERS_KEY)
        with traffic.flowing():
            traffic.await_flow()
            rotate(place, environment, traffic)
            well = await_event(environment, "service.health", service="secrets", status="operational")
            place.vault.seal()
            ill = await_event(
                environment, "service.health", after=well["position"], service="secrets", status="degraded"
            )
            assert "is sealed or stands by; unseal it" in ill["data"]["reason"]
            traffic.await_flow()
            ready = environment.get("/readyz")
            assert (ready.status, "secrets" in ready.body["degraded"]) == (200, True), ready.body
            place.vault.unseal()
            await_event(environment, "service.health", after=ill["position"], service="secrets", status="operational")
            place.rotate_shared(openai_api_key="sk-openai-of-the-house-0003")
            await_event(environment, "secret.rotated", name="shared-secrets", version="4")
            traffic.await_flow()
        assert traffic.failures == []
        assert traffic.done > 200
        health = environment.get("/healthz").body["services"]["secrets"]["details"]["secrets"]
        assert health["vault"]["sign_ins"] == 1  # the token was renewed, not replaced
        look_for_secrets(place, environment, tmp_path)


def rotate(place: Production, environment: RunningEnvironment, traffic: Traffic) -> None:
    place.vault.put("vrooli/secrets/postgres", username="core", password=place.secret("pg-wrong-password"))
    await_event(environment, "service.health", service="secrets", status="degraded")
    traffic.await_flow()  # it does not work, so the old one stays in use
    moment = place.rotate_database("pg p@ss/w%rd+0002")
    event = await_event(environment, "secret.rotated", name="postgres", version="3")
    assert event["data"] == {
        "name": "postgres",
        "source": "vault",
        "version": "3",
        "fields": ["storage.database"],
        "components": ["storage.database"],
    }
    place.await_new_connections(moment)
    traffic.await_flow()
    place.rotate_redis("redis p@ss/w%rd+0002", known="redis p@ss/w%rd+0001")
    await_event(environment, "secret.rotated", name="redis", version="2")
    place.cut_redis("redis p@ss/w%rd+0002")
    traffic.await_flow(300)
    place.rotate_shared(openai_api_key="sk-openai-of-the-house-0002")
    event = await_event(environment, "secret.rotated", name="shared-secrets", version="2")
    assert event["data"]["fields"] == ["ai.providers.openai.api_key"]
    place.rotate_shared(api_key_encryption_key="8c" * 32)
    event = await_event(environment, "secret.rotated", name="shared-secrets", version="3")
    assert event["data"]["components"] == ["secrets.provider-keys"]
    traffic.await_flow()
    assert environment.get("/v1/encryption-keys/reencryption").body["left"] == 0


def look_for_secrets(place: Production, environment: RunningEnvironment, folder: Path) -> None:
    wrong = environment.request("PUT", "/v1/provider-keys/openai", {"key": f"{USERS_KEY} with a space"})
    assert wrong.status == 400
    leak = environment.run_job("leak", {})
    assert (leak["status"], leak["error"]) == ("failed", "ValueError: *** ***")
    assert "the secret is ***" in environment.output  # it was logged, and masked
    searched = {form: secret for secret in place.known for form in forms(secret)}
    for name, content in surfaces(place, environment, folder):
        found = {secret for form, secret in searched.items() if form in content}
        assert not found, f"{name} shows {found}"
    assert b"sk-openai" not in json.dumps(wrong.body).encode()


def test_what_is_searched_for_would_be_found() -> None:
    searched = forms("pg p@ss/w%rd+0001")
    for text in ("pg p@ss/w%rd+0001", "pg%20p%40ss/w%25rd%2B0001", "pg%20p%40ss%2Fw%25rd%2B0001"):
        assert any(form in f"x{text}y".encode() for form in searched)
    for before in ("", "u", "us", "user:"):
        raw = f"{before}pg p@ss/w%rd+0001 and more".encode()
        for encoded in (base64.b64encode(raw), base64.urlsafe_b64encode(raw), raw.hex().encode()):
            assert any(form in encoded for form in searched), before


def surfaces(place: Production, environment: RunningEnvironment, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Whatever a person or another program can look at."""
    yield "output", environment.output.encode()
    for path in PATHS:
        answer = environment.get(path)
        assert answer.status == 200, (path, answer.body)
        yield path, json.dumps(answer.body, ensure_ascii=False).encode()
    family = psutil.Process(environment.process.pid)
    for process in (family, *family.children(recursive=True)):
        yield f"arguments of {process.pid}", "\0".join(process.cmdline()).encode()
    for child in family.children(recursive=True):
        yield f"environment of {child.pid}", json.dumps(child.environ()).encode()
    for file in environment.state.path.rglob("*"):
        if file.is_file():
            yield str(file), file.read_bytes()
    with redis.Redis(port=place.redis.port, password="redis p@ss/w%rd+0002") as client:
        for key in client.scan_iter():
            yield f"key {key!r}", key + (client.dump(key) or b"")
    yield "database", place.database.run("pg_dump", "core_services").encode()
    for command in (["show", "--origin"], ["status"], ["secrets", "list"], ["secrets", "check"], ["keys", "list"]):
        yield " ".join(command), ran(command, environment, folder)


def ran(command: list[str], environment: RunningEnvironment, folder: Path) -> bytes:
    spec = environment_spec(environment)
    arguments = [command[0], spec, *command[1:]] if command[0] in ("show", "status") else [*command, spec]
    environ = psutil.Process(environment.process.pid).environ()
    done = subprocess.run(
        [sys.executable, "-m", "runtime", *arguments], capture_output=True, env={**os.environ, **environ}, cwd=folder
    )
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout + done.stderr


def environment_spec(environment: RunningEnvironment) -> str:
    return psutil.Process(environment.process.pid).cmdline()[-1]
