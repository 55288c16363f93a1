"""API keys over real HTTP, through the real command."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from runtime.cli.main import main
from runtime.testing import RunningEnvironment, running

if TYPE_CHECKING:
    from collections.abc import Iterator

SPEC = {"version": 1, "name": "keys", "auth": {"api_keys": {"rounds": 4}}}


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEnvironment]:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "spec.yaml").write_text(json.dumps(SPEC))
    with running(folder / "spec.yaml") as environment:
        yield environment


def by(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_key_opens_what_it_may_until_it_is_revoked(at: RunningEnvironment) -> None:
    made = at.post("/v1/api-keys", {"name": "ci", "scopes": ["jobs:read"]})
    assert made.status == 201
    key = made.body["key"]
    assert at.request("GET", "/v1/queues", headers=by(key)).status == 200
    assert at.request("GET", "/v1/streams", headers=by(key)).status == 403
    assert at.request("GET", "/v1/api-keys", headers=by(key)).status == 403
    (listed,) = at.get("/v1/api-keys?starts_with=" + made.body["key"][:12]).body["items"]
    assert listed["id"] == made.body["id"]
    assert key not in json.dumps(listed)
    assert at.request("DELETE", f"/v1/api-keys/{made.body['id']}").status == 204
    deadline = time.monotonic() + 10
    while at.request("GET", "/v1/queues", headers=by(key)).status != 401:
        assert time.monotonic() < deadline
    assert key not in at.output


def test_an_answer_with_a_secret_is_not_kept_for_a_replay(at: RunningEnvironment) -> None:
    body = {"name": "once", "scopes": ["jobs:read"]}
    first = at.request("POST", "/v1/api-keys", body, headers={"Idempotency-Key": "one"})
    again = at.request("POST", "/v1/api-keys", body, headers={"Idempotency-Key": "one"})
    assert (first.status, again.status) == (201, 409)


@pytest.mark.parametrize(
    "wrong",
    [{"scopes": []}, {"scopes": "jobs:read"}, {"scopes": ["x"]}, {"name": ""}, {"more": 1}, {"rate": "x"}],
)
def test_a_wrong_wish_is_400(at: RunningEnvironment, wrong: dict[str, Any]) -> None:
    assert at.post("/v1/api-keys", {"name": "ci", "scopes": ["jobs:read"], **wrong}).status == 400


def test_its_own_rate_counts(at: RunningEnvironment) -> None:
    key = at.post("/v1/api-keys", {"name": "slow", "scopes": ["jobs:read"], "rate": "2/h"}).body["key"]
    seen = [at.request("GET", "/v1/queues", headers=by(key)).status for _ in range(3)]
    assert seen == [200, 200, 429]


def test_by_hand(at: RunningEnvironment) -> None:
    spec = str(at.state.path.parent / "spec.yaml")

    def said(*words: str) -> str:
        command = [sys.executable, "-m", "runtime", "api-keys", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    key = said("create", spec, "--name", "by hand", "--scope", "jobs:read").strip()
    assert at.request("GET", "/v1/queues", headers=by(key)).status == 200
    shown = json.loads(said("list", spec, "--json", "--starts-with", key[:19]))["items"]
    assert [entry["name"] for entry in shown] == ["by hand"]
    assert "revoked" in said("revoke", spec, shown[0]["id"])
    assert at.request("GET", "/v1/queues", headers=by(key)).status == 401


def test_a_found_key_is_looked_up_and_revoked(at: RunningEnvironment) -> None:
    spec = str(at.state.path.parent / "spec.yaml")
    made = at.post("/v1/api-keys", {"name": "leaked", "scopes": ["jobs:read"], "owner": "user:ada"}).body
    key, secret = made["key"], made["key"][19:]

    def said(*words: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "runtime", "api-keys", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout

    for piece in (key, key[:30], key[:19], key[:10]):  # with more or less of its secret
        line = said("find", spec, piece)
        assert all(word in line for word in (key[:19], "user:ada", "jobs:read", "not used", "leaked"))
        assert secret not in line
        (listed,) = at.get(f"/v1/api-keys?owner=*&starts_with={piece}").body["items"]
        assert listed["begins"] == key[:19]
    assert "No key" in said("find", spec, "rt_zzzzzzzz", code=1)
    assert secret not in at.output
    assert made["id"] in said("revoke", spec, key)
    assert at.request("GET", "/v1/queues", headers=by(key)).status == 401
    assert "revoked" in said("find", spec, key[:19])
    other = at.post("/v1/api-keys", {"name": "other", "scopes": ["jobs:read"]}).body["key"]
    assert at.request("DELETE", f"/v1/api-keys/{other[:19]}").status == 204
    assert at.request("GET", "/v1/queues", headers=by(other)).status == 401


def test_health_says_what_is_there_and_what_is_not(at: RunningEnvironment) -> None:
    service = at.get("/healthz").body["services"]["auth"]
    assert service["healthy"] is True
    assert service["details"]["auth"]["api_keys"] >= 0


def test_signing_keys_are_public_and_rotate(at: RunningEnvironment) -> None:
    published = at.request("GET", "/.well-known/jwks.json", headers={"Authorization": ""})
    assert (published.status, published.headers["cache-control"]) == (200, "public, max-age=300")
    assert len(published.body["keys"]) == 1
    made = at.post("/v1/signing-keys/rotate", {})
    assert (made.status, made.body["state"]) == (201, "published")
    assert at.post("/v1/signing-keys/rotate", {}).status == 409
    spec = str(at.state.path.parent / "spec.yaml")
    command = [sys.executable, "-m", "runtime", "signing-keys", "list", spec]
    assert made.body["kid"] in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert at.request("GET", "/v1/signing-keys", headers={"Authorization": ""}).status == 401


def test_the_first_operator_and_keys_of_every_kind(at: RunningEnvironment, capsys: pytest.CaptureFixture[str]) -> None:
    spec = str(at.state.path.parent / "spec.yaml")

    def said(*words: str, code: int = 0) -> str:
        assert main(["keys", *words]) == code
        told = capsys.readouterr()
        return told.out + told.err

    key = said("create", spec, "--scope", "runtime:admin").strip()
    assert at.request("GET", "/v1/runtime", headers=by(key)).status == 200
    assert key[:19] in said("list", spec, "api")
    published = [key["kid"] for key in at.request("GET", "/.well-known/jwks.json").body["keys"]]
    assert {line.split()[0] for line in said("list", spec, "signing").splitlines()} == set(published)
    assert "about to sign" in said("rotate", spec, "signing", code=1)  # the test before has rotated them
    assert "revoked" in said("revoke", spec, key)
    assert at.request("GET", "/v1/runtime", headers=by(key)).status == 401
    assert "needs scopes" in said("create", spec, code=2)
    assert "Name its spec" in said("create", "--scope", "runtime:admin", code=2)
