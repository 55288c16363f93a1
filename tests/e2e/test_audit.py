"""The audit trail of a whole environment: what people and operators did, through the real command."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from runtime.testing import RunningEnvironment, running
from tests.browser import Browser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ADA, PASSWORD = "ada@example.com", "correct horse battery"
SPEC: dict[str, Any] = {
    "version": 1,
    "name": "trail",
    "auth": {"passwords": {"rounds": 4}, "api_keys": {"rounds": 4}},
    "billing": {"currency": "USD"},
    "events": {
        "streams": {
            "billing": {"events": {"credits.used": {}, "credits.overdrawn": {}, "payment.received": {}}},
            "security": {"events": {"login.failed": {}, "session.revoked": {}}},
        },
        "subscriptions": {"kept": {"stream": "security", "handler": "audit.record"}},
    },
    "observability": {"audit": {"keep": "400d", "key": "${AUDIT_KEY}"}},
}
KEY = "the key of the trail, of the tests"


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEnvironment]:
    folder = tmp_path_factory.mktemp("trail")
    (folder / "spec.yaml").write_text(json.dumps(SPEC))
    with running(folder / "spec.yaml", environ={"AUDIT_KEY": KEY}) as environment:
        yield environment


@pytest.fixture(scope="module")
def ada(at: RunningEnvironment) -> str:
    """The id of an account."""
    made = at.post("/v1/users", {"email": ADA, "password": PASSWORD, "verified": True})
    assert made.status == 201
    return str(made.body["id"])


def entries(at: RunningEnvironment, **wanted: str) -> list[dict[str, Any]]:
    found = at.get(f"/v1/audit?{httpx.QueryParams({'limit': '200', **wanted})}")
    assert found.status == 200, found.body
    return list(found.body["items"])


def entry(at: RunningEnvironment, **wanted: str) -> dict[str, Any]:
    """The newest entry of its kind, as soon as it is there."""
    deadline = time.monotonic() + 15
    while not (found := entries(at, **wanted)):
        assert time.monotonic() < deadline, wanted
        time.sleep(0.02)
    return found[0]


def command(at: RunningEnvironment, action: str, *words: str) -> subprocess.CompletedProcess[str]:
    spec = at.state.path.parent / "spec.yaml"
    return subprocess.run(
        [sys.executable, "-m", "runtime", "audit", action, str(spec), *words],
        capture_output=True, text=True, env={**os.environ, "AUDIT_KEY": KEY},
    )  # fmt: skip


def test_what_an_operator_does_is_kept_with_who_what_and_whence(at: RunningEnvironment, ada: str) -> None:
    made = entry(at, action="user.create")
    assert (made["actor"], made["target"], made["outcome"]) == ("key:operator", f"user:{ada}", "done")
    assert made["address"] == "127.0.0.1"
    assert made["request_id"]
    key = at.post("/v1/api-keys", {"name": "Ada's laptop", "scopes": ["jobs:read"], "owner": f"user:{ada}"}).body
    assert entry(at, action="api_key.create", target=f"key:{key['id']}")["details"]["scopes"] == ["jobs:read"]
    denied = at.request("POST", "/v1/queues/email/pause", headers={"Authorization": f"Bearer {key['key']}"})
    assert denied.status == 403
    refused = entry(at, action="queue.pause", actor=f"key:{key['id']}")
    assert (refused["outcome"], refused["details"]["account"]) == ("denied", f"user:{ada}")
    assert at.request("GET", "/v1/users", headers={"Authorization": f"Bearer {key['key']}"}).status == 403
    assert entry(at, action="request.deny")["target"] == "GET /v1/users"
    booked = at.post("/v1/credits", {"account": f"user:{ada}", "kind": "bonus", "amount": "5", "reason": f"for {ADA}"})
    assert booked.status == 201
    assert entry(at, action="credits.post")["details"]["amount"] == "5"
    assert entry(at, action="spec.apply")["target"] == "revision:1"


def test_sessions_leave_their_trace(at: RunningEnvironment, ada: str) -> None:
    with Browser(at) as browser:
        assert browser.sign_in(ADA, "wrong horse").status_code == 401
        failed = entry(at, action="session.login", target=f"user:{ada}")
        assert (failed["actor"], failed["outcome"]) == ("address:127.0.0.1", "denied")
        assert browser.sign_in(ADA, PASSWORD).status_code == 200
        assert entry(at, action="session.login", actor=f"user:{ada}")["outcome"] == "done"
        assert browser.send("POST", "/v1/auth/logout", {}).status_code in (200, 204)
        assert entry(at, action="session.logout", actor=f"user:{ada}")["target"].startswith("session:")
    told = entry(at, action="session.revoked")
    assert (told["actor"], told["target"], told["details"]["stream"]) == ("system", ada, "security")


def test_the_chain_holds_and_its_head_is_noted(at: RunningEnvironment, ada: str) -> None:
    head = command(at, "head").stdout.strip()
    listed = command(at, "list", "--action", "user.create", "--since", "1h")
    assert (listed.returncode, f"user:{ada}" in listed.stdout) == (0, True)
    done = command(at, "verify", "--head", head)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("The chain holds: ")
    wrong = command(at, "verify", "--head", f"1:{'0' * 64}", "--json")
    assert (wrong.returncode, json.loads(wrong.stdout)["broken"]["seq"]) == (1, 1)
    assert command(at, "verify", "--head", "x").returncode == 1
    assert at.get("/v1/audit?since=2026-01-01T00:00:00").status == 400
    assert at.get("/v1/audit?after=x").status == 400
    assert at.get("/healthz").body["services"]["observability"]["details"]["observability.audit"]["keyed"] is True


def test_of_a_deleted_person_the_id_stays_and_nothing_else(at: RunningEnvironment) -> None:
    bob = at.post("/v1/users", {"email": "bob@example.com", "password": PASSWORD, "verified": True}).body["id"]
    with Browser(at) as browser:
        assert browser.sign_in("bob@example.com", PASSWORD).status_code == 200
        assert browser.send("PUT", "/v1/profile", {"name": "Bob Builder"}).status_code == 200
    assert at.request("DELETE", f"/v1/users/{bob}").status == 204
    assert entry(at, action="user.delete", target=f"user:{bob}")
    kept = json.dumps(entries(at))
    assert f"user:{bob}" in kept
    for hidden in ("bob@", "Builder", "example.com", ADA, "Ada's laptop", PASSWORD, "wrong horse", KEY, at.key):
        assert hidden not in kept


def test_a_change_of_the_database_is_found_by_the_command(at: RunningEnvironment, ada: str) -> None:
    entry(at, action="user.create")
    with sqlite3.connect(at.state.path / "trail.db") as database:
        database.execute("DROP TRIGGER audit_update")
        (seq,) = database.execute("SELECT seq FROM audit WHERE action = 'user.create'").fetchone()
        database.execute("UPDATE audit SET actor = 'user:mallory' WHERE seq = ?", [seq])
    done = command(at, "verify")
    assert done.returncode == 1
    assert f"does not hold at entry {seq}" in done.stdout


def test_without_a_trail_nothing_of_it_is_there(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(json.dumps({"version": 1, "name": "silent", "observability": {"audit": False}}))
    with running(spec) as silent:
        assert silent.get("/v1/audit").status == 404
        assert "observability.audit" not in silent.get("/healthz").body["services"]["observability"]["details"]
        refused = command(silent, "verify")
        assert refused.returncode == 1
        assert "keeps no audit trail" in refused.stderr
