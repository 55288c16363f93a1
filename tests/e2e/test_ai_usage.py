"""Usage of models over real HTTP, through the real commands, and a process that is killed."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from runtime.testing import RunningEnvironment, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPEC = {
    "version": 1,
    "name": "models",
    "auth": {"signup": "invite"},
    "ai": {
        "providers": {"echo": {"kind": "echo"}},
        "budgets": {"daily": {"per": "1d", "limit": "5.00 USD"}},
    },
}
ROW = {
    "operation": "chat", "number": 1, "chain": None, "provider": "openai", "outcome": "ok", "status": 200,
    "streamed": 0, "estimated": 0, "input": 10, "cached_input": 0, "cache_write": 0, "output": 5, "reasoning": 1,
    "cost": 12500, "charged": 12500, "price": "spec", "entry": None, "duration": 100,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    (folder / "spec.yaml").write_text(json.dumps(SPEC))
    return folder


@pytest.fixture(scope="module")
def at(folder: Path) -> Iterator[RunningEnvironment]:
    with running(folder / "spec.yaml") as environment:
        database = next(environment.state.path.glob("*.db"))
        now = int(time.time())
        with sqlite3.connect(database) as connection:
            for number in range(6):
                row = {
                    **ROW, "call": f"call{number}", "model": f"model{number % 3}", "day": now // 86_400, "started": now,
                    "user": "key:operator" if number else "user:other", "key": "key:operator",
                }  # fmt: skip
                names, places = ", ".join(f'"{name}"' for name in row), ", ".join(f":{name}" for name in row)
                connection.execute(f"INSERT INTO ai_attempts ({names}) VALUES ({places})", row)
        yield environment


def test_usage_over_pages_and_for_whom_it_is(at: RunningEnvironment) -> None:
    mine = at.get("/v1/usage?by=model&limit=2").body
    assert [item["model"] for item in mine["items"]] == ["model0", "model1"]
    assert mine["items"][0]["cost"] == "0.0000125"
    rest = at.get(f"/v1/usage?by=model&limit=2&after={mine['next']}").body
    assert [(item["model"], item["calls"], item["tokens"]["total"]) for item in rest["items"]] == [("model2", 2, 32)]
    assert rest["next"] is None
    assert at.get(f"/v1/usage?by=user&after={mine['next']}").status == 400
    everybody = at.get("/v1/usage?by=user&user=*").body
    assert [(item["user"], item["calls"]) for item in everybody["items"]] == [("key:operator", 5), ("user:other", 1)]
    (budget,) = mine["budgets"]
    assert (budget["name"], budget["limit"], budget["left"], budget["currency"]) == ("daily", "5.00", "5.00", "USD")
    assert at.get("/v1/usage?since=2020-01-01&until=2020-01-02").body["items"] == []
    assert at.get("/v1/usage?by=colour").status == 400
    assert at.get("/v1/usage?since=0001-01-01&until=0001-01-02").body["items"] == []


def test_another_users_usage_is_not_told(at: RunningEnvironment) -> None:
    made = at.post("/v1/api-keys", {"name": "app", "scopes": ["ai:use"], "owner": "user:app"}).body
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert at.request("GET", "/v1/usage?user=user:other", headers=headers).status == 403
    assert at.request("GET", "/v1/usage?user=*", headers=headers).status == 403
    assert at.request("GET", "/v1/usage", headers=headers).body["items"] == []


def test_the_command_shows_a_table(at: RunningEnvironment) -> None:
    spec = str(at.state.path.parent / "spec.yaml")

    def command(*words: str) -> str:
        line = [sys.executable, "-m", "runtime", "ai", "usage", spec, *words]
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout

    lines = command("--by", "model").splitlines()
    assert lines[0].split() == ["model", "calls", "failed", "tokens", "in", "tokens", "out", "cost", "USD"]
    assert lines[1].split() == ["model0", "2", "0", "20", "12", "0.000025"]
    shown: dict[str, Any] = json.loads(command("--by", "user", "--user", "user:other", "--json"))
    assert [item["calls"] for item in shown["items"]] == [1]
    assert "budget daily: 0.00 of 5.00 USD spent" in command("--user", "key:operator")
    assert command("--model", "none") == "Nothing was used.\n"


MONEY = {
    "version": 1,
    "name": "money",
    "events": {"streams": {"billing": {"events": {"credits.used": {}, "payment.received": {}}}}},
    "billing": {"currency": "USD"},
    "ai": {
        "providers": {"echo": {"kind": "echo"}},
        "prices": {"echo/dear": {"input": 0, "output": 100_000}},  # ten tokens a dollar
        "max_cost": "5.00 USD",
        "budgets": {"daily": {"per": "1d", "limit": "50.00 USD"}},
    },
}


def chat(at: RunningEnvironment, **fields: Any) -> Any:
    message = {"role": "user", "content": "Hello, what would you say to this?"}
    return at.post("/v1/chat/completions", {"model": "echo/dear", "messages": [message], **fields})


def test_what_was_answered_is_charged_though_the_process_is_killed(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(json.dumps(MONEY))
    state = tmp_path / "state"
    with running(tmp_path / "spec.yaml", state=state) as at:
        refused = chat(at, max_tokens=10)
        assert (refused.status, refused.body["title"]) == (402, "Not enough credit")
        assert at.post("/v1/credits", {"account": "key:operator", "kind": "bonus", "amount": "20"}).status == 201
        answered = chat(at, max_tokens=20)
        assert answered.status == 200, answered.body
        cost = float(answered.headers["x-runtime-cost"])
        assert 0 < cost <= 2
        at.process.kill()
        at.process.wait()
    with running(tmp_path / "spec.yaml", state=state) as at:
        (day,) = at.get("/v1/usage").body["items"]
        assert (day["calls"], float(day["charged"])) == (1, cost)
        credits_ = at.get("/v1/credits").body
        assert float(credits_["balance"]) == 20 - cost
        assert float(credits_["reserved"]) == 0
        (budget,) = at.get("/v1/usage").body["budgets"]
        assert float(budget["spent"]) == cost


def test_a_key_spends_no_more_than_its_credits_and_is_told(tmp_path: Path) -> None:
    spec = {**MONEY, "auth": {"api_keys": {"rounds": 4}}}
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    state = tmp_path / "state"
    with running(tmp_path / "spec.yaml", state=state) as at:
        wanted = {"name": "app", "scopes": ["ai:use", "credits:read"], "owner": "user:ada", "credits": "2"}
        headers = {"Authorization": f"Bearer {at.post('/v1/api-keys', wanted).body['key']}"}
        assert at.post("/v1/credits", {"account": "user:ada", "kind": "bonus", "amount": "20"}).status == 201

        def ask(_: int) -> Any:
            message = {"role": "user", "content": "Hello, what would you say to this, if you had the time?"}
            body = {"model": "echo/dear", "messages": [message], "max_tokens": 5}
            return at.request("POST", "/v1/chat/completions", body, headers=headers)

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(ask, range(20)))
        assert sorted(answer.status for answer in answers) == [200] * 4 + [402] * 16  # of half a dollar each
        refused = next(answer for answer in answers if answer.status == 402)
        assert "of the 2.00 that this key may spend" in refused.body["detail"]
    with running(tmp_path / "spec.yaml", state=state) as at:
        credits_ = at.request("GET", "/v1/credits", headers=headers).body
        assert [float(credits_[name]) for name in ("limit", "spent", "balance", "reserved")] == [2, 2, 18, 0]
        assert ask(0).status == 402
