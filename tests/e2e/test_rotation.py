"""Secrets that change while an environment runs: mounted files, `.env`, what Vault lends, and what is to be ignored."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtime.testing import running
from tests.openbao import ROOT, openbao
from tests.postgres import postgres
from tests.production import await_event
from tests.services.secrets.test_vault_session import lending

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.testing import RunningEnvironment
    from tests.openbao import OpenBao
    from tests.postgres import Postgres

__all__ = ["openbao", "postgres"]

SYSTEM: dict[str, Any] = {"streams": {"system": {"events": {"secret.rotated": {}, "service.health": {}}}}}


ROTATED = "/v1/streams/system/events?type=secret.rotated"


def write(folder: Path, **sections: Any) -> Path:
    spec = folder / "spec.yaml"
    base = {"version": 1, "name": "rotating", "storage": {"redis": "embedded"}, "events": SYSTEM}
    spec.write_text(json.dumps({**base, **sections}))
    return spec


def mail(password: str, **more: Any) -> dict[str, Any]:
    channel = {"kind": "smtp", "host": "127.0.0.1", "port": 9, "from": "a@example.com", "username": "core"}
    return {"channels": {"email": {**channel, "password": password, **more}}}


def mount(folder: Path, version: str, **files: str) -> None:
    """Writes files as Kubernetes does: in a folder of their own, to which `..data` is turned over."""
    inner = folder / f"..{version}"
    inner.mkdir(parents=True)
    for name, text in files.items():
        (inner / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data", name))
    (folder / "..data_tmp").symlink_to(inner.name)
    (folder / "..data_tmp").rename(folder / "..data")


def since(environment: RunningEnvironment, component: str) -> str:
    parts = environment.get("/v1/runtime").body["components"]
    return next(str(part["since"]) for part in parts if part["id"] == component)


def until(true: Callable[[], bool], environment: RunningEnvironment) -> None:
    deadline = time.monotonic() + 15
    while not true():
        assert time.monotonic() < deadline, environment.output[-3000:]
        time.sleep(0.05)


def test_a_mounted_file_that_is_swapped(tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    mount(mounted, "1", password="first-password")
    spec = write(tmp_path, notifications=mail("${file:mounted/password}"))
    with running(spec) as environment:
        begun = since(environment, "notifications.email")
        mount(mounted, "2", password="second-password")
        event = await_event(environment, "secret.rotated")
        assert event["data"]["components"] == ["notifications.email"]
        assert event["data"]["name"].endswith("mounted/password")
        assert since(environment, "notifications.email") == begun  # in place
        mount(mounted, "3", password="second-password")  # another file, the same value
        mount(mounted, "4", password="third-password")
        until(
            lambda: len(environment.get(ROTATED).body["items"]) == 2,
            environment,
        )
        assert "password" not in environment.output.replace("mounted/password", "")


def test_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MAIL_PASSWORD=first-password\n")
    spec = write(tmp_path, notifications=mail("${MAIL_PASSWORD}"), secrets={"env_file": str(tmp_path / ".env")})
    with running(spec) as environment:
        (tmp_path / ".env").write_text("MAIL_PASSWORD=second-password\n")
        event = await_event(environment, "secret.rotated", source="env file")
        assert event["data"]["fields"] == ["notifications.channels.email.password"]


def test_a_file_that_becomes_wrong_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("first-password")
    spec = write(tmp_path, notifications=mail(f"${{file:{tmp_path}/password}}"))
    with running(spec) as environment:
        (tmp_path / "password").unlink()

        def reason() -> str:
            services = environment.get("/healthz").body["services"]
            return str(services["secrets"]["reason"])

        until(lambda: "no such file" in reason(), environment)
        assert environment.get("/readyz").body["status"] == "ready"
        (tmp_path / "password").write_text("second-password")
        await_event(environment, "secret.rotated")
        until(lambda: reason() == "None", environment)


def by_token(openbao: OpenBao, **paths: Any) -> dict[str, Any]:
    return {"vault": {"address": openbao.url, "auth": {"method": "token", "token": ROOT}, "paths": paths}}


@pytest.mark.parametrize("on_rotate", ["reconnect", "restart", "ignore"])
def test_what_those_do_who_use_it(on_rotate: str, tmp_path: Path, openbao: OpenBao) -> None:
    name = openbao.name("mail")
    openbao.put(name, password="first-password")
    path = {"path": f"secret/data/{name}", "refresh": "100ms", "on_rotate": on_rotate}
    marker = {**path, "path": f"secret/data/{name}-marker", "on_rotate": "reconnect"}
    openbao.put(f"{name}-marker", token="first-token")
    channels = mail("${vault:mail#password}")
    channels["channels"]["other"] = mail("${vault:marker#token}")["channels"]["email"]
    spec = write(tmp_path, notifications=channels, secrets=by_token(openbao, mail=path, marker=marker))
    with running(spec) as environment:
        begun = since(environment, "notifications.email")
        openbao.put(name, password="second-password")
        if on_rotate == "ignore":
            openbao.put(f"{name}-marker", token="second-token")
            await_event(environment, "secret.rotated", name="marker")
            names = [event["data"]["name"] for event in environment.get(ROTATED).body["items"]]
            assert names == ["marker"]
            return
        event = await_event(environment, "secret.rotated", name="mail")
        assert "notifications.email" in event["data"]["components"]
        assert (since(environment, "notifications.email") == begun) == (on_rotate == "reconnect")


def test_a_refresh_by_hand(tmp_path: Path, openbao: OpenBao) -> None:
    name = openbao.name("mail")
    openbao.put(name, password="first-password")
    path = {"path": f"secret/data/{name}", "refresh": "1h"}
    spec = write(tmp_path, notifications=mail("${vault:mail#password}"), secrets=by_token(openbao, mail=path))
    with running(spec) as environment:
        openbao.put(name, password="second-password")
        view = environment.request("POST", "/v1/secrets/mail/refresh")
        assert (view.status, view.body["version"], view.body["status"]) == (200, "2", "fresh")
        await_event(environment, "secret.rotated", name="mail", version="2")
        unknown = environment.request("POST", "/v1/secrets/none/refresh")
        assert (unknown.status, unknown.body["detail"]) == (404, 'the spec uses no secret "none"')


def test_a_database_user_that_vault_lends_for_a_short_time(
    tmp_path: Path, openbao: OpenBao, postgres: Postgres
) -> None:
    """Three users come and go under writes, and no write fails."""
    with lending(openbao, postgres, default_ttl="3s", max_ttl="4s") as creds:
        url = f"postgresql://${{vault:db#username}}:${{vault:db#password}}@127.0.0.1:{postgres.port}"
        name = postgres.database().rpartition("/")[2]
        spec = write(
            tmp_path,
            storage={"redis": "embedded", "database": f"{url}/{name}"},
            ai={"providers": {"echo": {"kind": "echo"}}},
            secrets={
                **by_token(openbao, db={"path": creds, "engine": "database"}),
                "encryption": {"keys": {"k1": "ab" * 32}, "active": "k1"},
            },
        )
        with running(spec) as environment:
            writes = 0

            def rotated() -> int:
                nonlocal writes
                stored = environment.request("PUT", "/v1/provider-keys/echo", {"key": f"a-key-of-a-user-{writes}"})
                assert stored.status == 200, stored.body
                writes += 1
                return len(environment.get(ROTATED).body["items"])

            until(lambda: rotated() >= 2, environment)
            assert writes > 10
