"""`/v1/live` of a running environment, as a client of the library `websockets` meets it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from runtime.services.events.live import AHEAD, Relay, Wish
from runtime.testing import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtime.testing import RunningEnvironment

EVENTS: dict[str, Any] = {
    "streams": {"notes": {"events": {"note.made": {}, "note.gone": {}}}, "others": {"events": {"x.y": {}}}}
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEnvironment]:
    folder = tmp_path_factory.mktemp("live")
    with _running(folder) as made:
        yield made


def _running(folder: Path) -> Any:
    spec = {"version": 1, "name": "live", "events": {"backend": "memory", **EVENTS}}
    (folder / "spec.yaml").write_text(json.dumps(spec))
    return running(folder / "spec.yaml", state=folder / "state")


def live(at: RunningEnvironment, *, key: str | None = None, origin: str | None = None) -> Any:
    headers = {"Authorization": f"Bearer {key or at.key}"} if key != "" else {}
    if origin:
        headers["Origin"] = origin
    return connect(at.url.replace("http", "ws") + "/v1/live", additional_headers=headers, compression=None)


async def ask(socket: Any, **wish: Any) -> Any:
    await socket.send(json.dumps(wish))
    return await told(socket)


async def told(socket: Any) -> Any:
    async with asyncio.timeout(10):
        return json.loads(await socket.recv())


def publish(at: RunningEnvironment, *numbers: int, text: str = "") -> list[str]:
    events = [{"type": "note.made", "data": {"n": n, "text": text}} for n in numbers]
    answer = at.post("/v1/streams/notes/events/batch", {"events": events})
    return [item["position"] for item in answer.body["items"]]


@pytest.mark.parametrize(
    ("opening", "status"),
    [({"key": ""}, 401), ({"key": "rt_wrong"}, 401), ({"origin": "https://evil.example"}, 403)],
)
async def test_who_may_not_connect_is_told_why(environment: RunningEnvironment, opening: Any, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with live(environment, **opening):
            pass
    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body)["status"] == status


async def test_pages_of_the_server_itself_may_connect(environment: RunningEnvironment) -> None:
    async with live(environment, origin=environment.url) as socket:
        assert (await ask(socket, follow="streams:notes"))["state"] == "following"


async def test_events_come_as_they_are_published_and_after_a_cursor(environment: RunningEnvironment) -> None:
    async with live(environment) as socket:
        following = await ask(socket, follow="streams:notes")
        assert following["topic"] == "streams:notes"
        positions = publish(environment, 1, 2)
        events = [await told(socket) for _ in range(2)]
        assert [event["cursor"] for event in events] == positions
        assert [event["data"]["data"]["n"] for event in events] == [1, 2]
        assert (await ask(socket, leave="streams:notes"))["state"] == "left"
    publish(environment, 3)
    async with live(environment) as socket:
        assert (await ask(socket, follow="streams:notes", after=positions[0]))["cursor"] == positions[0]
        assert [(await told(socket))["data"]["data"]["n"] for _ in range(2)] == [2, 3]


async def test_what_cannot_be_followed_is_said_and_the_connection_stays(environment: RunningEnvironment) -> None:
    async with live(environment) as socket:
        assert (await ask(socket, follow="streams:note"))["error"]["remedy"] == 'Did you mean "notes"?'
        assert "no position" in (await ask(socket, follow="streams:notes", after="x"))["error"]["detail"]
        assert (await ask(socket, follow="jobs:1"))["error"]["title"] == "Not found"
        assert (await ask(socket, wish=1))["error"]["title"] == "Invalid request"
        assert (await ask(socket, leave="streams:notes"))["error"]["title"] == "Not found"
        assert (await ask(socket, follow="streams:notes", types=["note.gone"]))["state"] == "following"
        assert "already" in (await ask(socket, follow="streams:notes"))["error"]["detail"]


async def test_a_slow_client_slows_nobody_and_loses_nothing(environment: RunningEnvironment) -> None:
    async with live(environment) as slow, live(environment) as quick:
        for socket in (slow, quick):
            await ask(socket, follow="streams:notes")
        slow.transport.pause_reading()
        for first in range(0, 1000, 100):
            await asyncio.to_thread(publish, environment, *range(first, first + 100), text="x" * 8_000)
        assert [(await told(quick))["data"]["data"]["n"] for _ in range(1000)] == list(range(1000))
        slow.transport.resume_reading()
        assert [(await told(slow))["data"]["data"]["n"] for _ in range(1000)] == list(range(1000))


async def _send_and_hear(socket: Any, messages: list[str]) -> None:
    for message in messages:
        await socket.send(message)
    while True:
        await told(socket)


async def test_too_many_messages_and_too_large_ones_end_the_connection(environment: RunningEnvironment) -> None:
    for messages, code in ((["{}"] * 100, 1008), (["x" * 20_000], 1009)):
        async with live(environment) as socket:
            with pytest.raises(ConnectionClosed) as closed:
                await _send_and_hear(socket, messages)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == code


async def test_the_end_of_the_environment_sends_clients_away_to_come_back(tmp_path: Path) -> None:
    with _running(tmp_path) as at:
        async with live(at) as socket:
            await ask(socket, follow="streams:notes")
            stopping = asyncio.create_task(asyncio.to_thread(at.stop))
            with pytest.raises(ConnectionClosed) as closed:
                await told(socket)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
            assert await stopping == 0


async def test_a_relay_tells_the_newest_and_how_many_were_missed() -> None:
    relay = Relay("jobs", "jobs:read")
    relay.tell("7", "progress", {"n": -1})
    following = relay.follow("7", Wish(), None)  # type: ignore[arg-type]
    assert (await anext(following)).state == "following"
    for n in range(AHEAD + 5):
        relay.tell("7", "progress", {"n": n})
    relay.tell("8", "progress", {"n": 0})
    assert (await anext(following)).missed == {"count": 5}
    assert [(await anext(following)).data["n"] for _ in range(AHEAD)] == list(range(5, AHEAD + 5))
    await following.aclose()  # type: ignore[attr-defined]
    assert relay._followers == {}
