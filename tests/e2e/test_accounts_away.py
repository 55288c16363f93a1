"""Accounts while their database is away: clear answers, nobody is signed out, and all goes on when it is back."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from runtime.testing import running
from tests.browser import Browser
from tests.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.postgres import Postgres

__all__ = ["postgres"]

PASSWORD = "correct horse battery"
ADA = "ada@example.com"


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def cut(postgres: Postgres, database: str) -> None:
    postgres.run("psql", "-d", "postgres", "-qc", f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
    postgres.run("psql", "-d", "postgres", "-qc", ended)


def test_with_the_database_away_sign_in_refresh_and_profile_say_so(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.database()
    database = url.rpartition("/")[2]
    spec = tmp_path / "spec.yaml"
    auth = {"passwords": {"rounds": 4}, "api_keys": {"rounds": 4}}
    storage = {"redis": "embedded", "database": url}
    spec.write_text(json.dumps({"version": 1, "name": "away", "storage": storage, "auth": auth}))
    with running(spec) as at, Browser(at) as browser, Browser(at) as stranger:
        assert at.post("/v1/users", {"email": ADA, "password": PASSWORD}).status == 201
        key = at.post("/v1/api-keys", {"name": "ci", "scopes": ["jobs:read"]}).body["key"]
        by_key = {"Authorization": f"Bearer {key}"}
        assert at.request("GET", "/v1/queues", headers=by_key).status == 200
        assert browser.sign_in(ADA, PASSWORD).status_code == 200
        assert browser.send("GET", "/v1/profile").status_code == 200
        cookies = dict(browser.cookies)
        cut(postgres, database)
        for answer in (
            stranger.sign_in(ADA, PASSWORD),
            browser.send("POST", "/v1/auth/refresh"),
            browser.send("GET", "/v1/profile"),
            browser.send("PUT", "/v1/profile", {"name": "Ada"}),
        ):
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
            assert "database" in answer.json()["detail"]
            assert "Traceback" not in answer.text
        del browser.cookies["__Host-access"]
        assert browser.send("GET", "/v1/profile").status_code == 503  # the renewal within the request
        assert browser.cookies == {name: value for name, value in cookies.items() if name != "__Host-access"}
        assert at.request("GET", "/v1/queues", headers=by_key).status == 200  # a key that is known
        until(lambda: at.get("/healthz").body["services"]["auth"]["status"] == "degraded")
        postgres.run("psql", "-d", "postgres", "-qc", f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
        until(lambda: browser.send("GET", "/v1/profile").status_code == 200)
        assert stranger.sign_in(ADA, PASSWORD).status_code == 200
        until(lambda: at.get("/healthz").body["services"]["auth"]["status"] == "operational")
        assert PASSWORD not in at.output
