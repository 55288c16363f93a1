"""Streams over real HTTP, through the real command: on Redis and in memory."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from runtime.testing import RunningEnvironment, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PLUGIN = """
from pathlib import Path
from runtime import Event, subscriber

SICK = Path(__file__).with_name("sick")

@subscriber("sick")
async def sick(event: Event) -> None:
    if SICK.exists():
        raise ValueError("not well")
    with SICK.with_name("handled").open("a") as handled:
        handled.write(event.id + "\\n")

@subscriber("well")
async def well(event: Event) -> None:
    with SICK.with_name("well").open("a") as handled:
        handled.write(event.id + "\\n")
"""
SCHEMA = {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}
ONCE = {"attempts": 1}
EVENTS = {
    "streams": {
        "notes": {"events": {"note.made": {}, "note.read": {}}},
        "billing": {"events": {"credits.used": {"schema": "credits.json", "description": "Credits were spent."}}},
    },
    "subscriptions": {
        "sick": {"stream": "notes", "handler": "sick", "from": "beginning", "retry": ONCE},
        "well": {"stream": "notes", "handler": "well", "from": "beginning", "retry": ONCE},
    },
}


@pytest.fixture(scope="module", params=["memory", "redis"])
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "ailing.py").write_text(PLUGIN)
    (folder / "credits.json").write_text(json.dumps(SCHEMA))
    spec = {"version": 1, "name": "bus", "plugins": ["ailing"], "events": {"backend": request.param, **EVENTS}}
    (folder / "spec.yaml").write_text(json.dumps(spec))
    with running(folder / "spec.yaml") as environment:
        yield environment, folder


def until(condition: Callable[[], Any], timeout: float = 15.0) -> Any:
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


def test_published_events_reach_their_subscribers(environment: tuple[RunningEnvironment, Path]) -> None:
    at, folder = environment
    answer = at.post("/v1/streams/notes/events", {"type": "note.made", "data": {"text": "hello"}, "id": "first"})
    assert answer.status == 202
    until(lambda: (folder / "well").exists() and (folder / "well").read_text().split() == ["first"])
    (event,) = at.get("/v1/streams/notes/events").body["items"]
    assert (event["id"], event["position"], event["data"]) == ("first", answer.body["position"], {"text": "hello"})


def test_a_batch_is_stored_whole_or_not_at_all(environment: tuple[RunningEnvironment, Path]) -> None:
    at, _ = environment
    good = {"type": "credits.used", "data": {"amount": 1}, "key": "ada"}
    bad = {"type": "credits.used", "data": {"amount": "much"}}
    refused = at.post("/v1/streams/billing/events/batch", {"events": [good, bad, {**good, "type": "credits.use"}]})
    assert refused.status == 400
    assert [error["pointer"] for error in refused.body["errors"]] == ["/events/1/data/amount", "/events/2/type"]
    assert at.get("/v1/streams/billing/events").body["items"] == []
    for wrong in ([], [good] * 1001, 5, None):
        refused = at.post("/v1/streams/billing/events/batch", {"events": wrong})
        assert (refused.status, refused.body["errors"][0]["pointer"]) == (400, "/events")
    accepted = at.post("/v1/streams/billing/events/batch", {"events": [good] * 1000})
    assert (accepted.status, len(accepted.body["items"])) == (202, 1000)
    stored = at.get("/v1/streams/billing/events?limit=200").body["items"]
    shown = [{"id": item["id"], "position": item["position"]} for item in stored]
    assert shown == accepted.body["items"][:200]


@pytest.mark.parametrize("environment", ["redis"], indirect=True)
def test_dead_events_are_listed_and_replayed(environment: tuple[RunningEnvironment, Path]) -> None:
    at, folder = environment
    (folder / "sick").touch()
    for n in range(3):
        assert at.post("/v1/streams/notes/events", {"type": "note.made", "id": f"n-{n}"}).status == 202
    until(lambda: len(at.get("/v1/streams/notes/dead").body["items"]) == 3)
    first = at.get("/v1/streams/notes/dead?limit=2").body
    rest = at.get(f"/v1/streams/notes/dead?limit=2&after={first['next']}").body
    assert [item["event"]["id"] for item in first["items"] + rest["items"]] == ["n-0", "n-1", "n-2"]
    assert rest["next"] is None
    item = first["items"][0]
    assert (item["subscription"], item["error"], item["tries"]) == ("sick", "ValueError: not well", 1)
    assert at.get("/v1/streams/notes/dead?after=nonsense").status == 400
    assert at.get("/v1/streams/notes/dead?subscription=wel").body["remedy"] == 'Did you mean "well"?'
    assert at.post("/v1/streams/notes/dead/replay", {"ids": ["n-7"]}).status == 404
    (folder / "sick").unlink()
    replay = {"subscription": "sick", "ids": ["n-0", "n-2"]}
    assert at.post("/v1/streams/notes/dead/replay", replay).body == {"replayed": 2, "gone": []}
    until(lambda: (folder / "handled").read_text().split() == ["first", "n-0", "n-2"])
    assert (folder / "well").read_text().split() == ["first", "n-0", "n-1", "n-2"]
    assert [dead["event"]["id"] for dead in at.get("/v1/streams/notes/dead").body["items"]] == ["n-1"]
