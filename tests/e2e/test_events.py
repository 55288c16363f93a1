"""Streams over real HTTP, through the real command: on Redis and in memory."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, contextmanager
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


def test_the_streams_are_described_for_anyone(environment: tuple[RunningEnvironment, Path]) -> None:
    at, _ = environment
    with urllib.request.urlopen(f"{at.url}/asyncapi.json", timeout=10) as answer:
        described = json.load(answer)
    assert (described["asyncapi"], described["info"]["title"]) == ("3.0.0", "bus")
    assert {"notes", "billing"} <= set(described["channels"])
    reference = described["channels"]["billing"]["messages"]["credits.used"]["$ref"]
    message = described["components"]["messages"][reference.rpartition("/")[2]]
    assert (message["summary"], message["payload"]["schema"]) == ("Credits were spent.", SCHEMA)
    assert described["operations"]["notes.subscribe"]["channel"] == {"$ref": "#/channels/notes"}


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


def command(folder: Path, at: RunningEnvironment, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `runtime events` on the running environment."""
    line = [sys.executable, "-m", "runtime", "events", action, str(applied(folder, at)), *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=20)


def applied(folder: Path, at: RunningEnvironment) -> Path:
    """A spec of the running environment's state folder: what commands find it by."""
    spec = folder / "applied.yaml"
    spec.write_text(json.dumps({"extends": str(folder / "spec.yaml"), "storage": {"path": str(at.state.path)}}))
    return spec


@contextmanager
def following(spec: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`runtime events tail --json` of the stream `notes`."""
    line = [sys.executable, "-m", "runtime", "events", "tail", str(spec), "notes", "--json", *options]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:
        try:
            yield tail
        finally:
            tail.kill()


@pytest.mark.parametrize("environment", ["redis"], indirect=True)
def test_events_by_hand(environment: tuple[RunningEnvironment, Path]) -> None:
    at, folder = environment
    (folder / "data.json").write_text('{"text": "from a file"}')
    position = at.get("/v1/streams/notes").body["last"]
    made = command(folder, at, "publish", "notes", "note.made", "--data", '{"text": "by hand"}', "--key", "ada")
    assert made.returncode == 0, made.stderr
    data = f"@{folder / 'data.json'}"
    again = [command(folder, at, "publish", "notes", "note.read", "--data", data, "--id", "x").stdout for _ in range(2)]
    assert again[0] == again[1]
    shown = command(folder, at, "replay", "notes", "--after", position)
    first, second = shown.stdout.splitlines()
    assert first == f'{made.stdout.split()[0]}  note.made  ada  {{"text": "by hand"}}'
    assert second.endswith('note.read  {"text": "from a file"}')
    only = command(folder, at, "replay", "notes", "--after", position, "--limit", "1", "--json")
    assert json.loads(only.stdout)["data"] == {"text": "by hand"}
    assert command(folder, at, "dead", "billing").stdout == "No dead events.\n"
    assert command(folder, at, "dead", "billing", "--replay").stdout.startswith("0 given")


@pytest.mark.parametrize("environment", ["memory"], indirect=True)
def test_what_is_refused_is_said_in_the_environments_words(environment: tuple[RunningEnvironment, Path]) -> None:
    at, folder = environment
    refused = command(folder, at, "publish", "billing", "credits.used", "--data", '{"amount": "much"}')
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "/data/amount: 'much' is not of type 'integer'" in refused.stderr
    near = command(folder, at, "tail", "note")
    assert (near.returncode, 'Did you mean "notes"?' in near.stderr) == (1, True)
    for wrong in ("{", "[1]"):
        assert command(folder, at, "publish", "notes", "note.made", "--data", wrong).returncode == 2
    at_rest = folder / "at-rest.yaml"
    at_rest.write_text(json.dumps({"extends": str(folder / "spec.yaml"), "storage": {"path": str(folder / "none")}}))
    line = [sys.executable, "-m", "runtime", "events", "replay", str(at_rest), "notes"]
    assert subprocess.run(line, capture_output=True, check=False).returncode == 3


@pytest.mark.parametrize("environment", ["memory"], indirect=True)
def test_a_stream_is_followed_until_ctrl_c(environment: tuple[RunningEnvironment, Path]) -> None:
    at, folder = environment
    position = at.get("/v1/streams/notes").body["last"]
    with following(applied(folder, at), "--after", position, "--type", "note.made") as tail:
        for type_ in ("note.made", "note.read", "note.made"):
            at.post("/v1/streams/notes/events", {"type": type_, "data": {"after": position}})
        heard = [json.loads(tail.stdout.readline()) for _ in range(2)]  # type: ignore[union-attr]
        tail.send_signal(signal.SIGINT)
        assert tail.wait(10) in (0, 130)
        assert tail.stderr.read() == ""  # type: ignore[union-attr]
    assert [event["type"] for event in heard] == ["note.made", "note.made"]
    assert {event["data"]["after"] for event in heard} == {position}


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
    until(lambda: (folder / "handled").read_text().split()[-2:] == ["n-0", "n-2"])
    assert (folder / "well").read_text().split()[-3:] == ["n-0", "n-1", "n-2"]
    assert [dead["event"]["id"] for dead in at.get("/v1/streams/notes/dead").body["items"]] == ["n-1"]


def test_following_goes_on_when_the_environment_comes_back(tmp_path: Path) -> None:
    spec = {"version": 1, "name": "back", "events": {"streams": EVENTS["streams"]}}
    (tmp_path / "credits.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    state = tmp_path / "state"
    event = {"type": "note.made", "data": {}}
    at_rest = tmp_path / "applied.yaml"
    at_rest.write_text(json.dumps({"extends": str(tmp_path / "spec.yaml"), "storage": {"path": str(state)}}))
    with ExitStack() as stack:
        with running(tmp_path / "spec.yaml", state=state) as first:
            tail = stack.enter_context(following(at_rest, "--after", "0"))
            first.post("/v1/streams/notes/events", {**event, "id": "before"})
            heard = [json.loads(tail.stdout.readline())["id"]]  # type: ignore[union-attr]
        with running(tmp_path / "spec.yaml", state=state) as second:
            second.post("/v1/streams/notes/events", {**event, "id": "after"})
            heard.append(json.loads(tail.stdout.readline())["id"])  # type: ignore[union-attr]
    assert heard == ["before", "after"]
