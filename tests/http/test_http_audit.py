"""What routes declare as acts, as it reaches whoever writes them down, over a real server."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest
from litestar import Controller, get, post, put
from litestar.params import FromPath, JSONBody  # noqa: TC002 - Litestar reads them

from runtime.errors import Invalid, Unauthenticated
from runtime.http.access import OPEN, Caller, scope
from runtime.http.audit import REFUSALS, Flood, audited
from runtime.telemetry.audit import Act, concern
from tests.http.conftest import Bench, serving

USER = Caller("user:ada", frozenset({"doors:write"}), session="s1")
KEY = Caller("key:k1", frozenset({"doors:write"}), owner="user:ada")


class Door(msgspec.Struct):
    id: str
    token: str


class Wish(msgspec.Struct):
    colour: str = ""
    password: str = ""


class DoorRoutes(Controller):
    path = "/v1/doors"

    @post("/", opt={**scope("doors:write"), **audited("door.make", "door:{id}", "colour")})
    async def make(self, data: JSONBody[Wish]) -> Door:
        return Door("7", "secret-of-the-door")

    @put("/{door:str}", opt={**scope("doors:write"), **audited("door.paint", "door:{door}", "colour")})
    async def paint(self, door: FromPath[str], data: JSONBody[Wish]) -> None:
        if door == "brick":
            raise Invalid("nobody paints bricks")
        if door == "bug":
            raise ZeroDivisionError

    @post("/enter", opt={**OPEN, **audited("door.enter", "user:{id}")}, status_code=200)
    async def enter(self, data: JSONBody[Wish]) -> Door:
        if data.password != "sesame":
            concern("user:ali")
            raise Unauthenticated("wrong")
        return Door("ali", "t")

    @post("/traffic", opt=scope("doors:write"))
    async def traffic(self) -> None:
        """Declares nothing."""

    @get("/", opt=scope("doors:read"))
    async def read(self) -> list[str]:
        return []


class Acts:
    """Holds what it is told."""

    def __init__(self) -> None:
        self.all: list[Act] = []

    async def record(self, act: Act) -> None:
        self.all.append(act)

    def note(self, act: Act) -> None:
        self.all.append(act)

    def taken(self) -> list[Act]:
        taken, self.all = self.all, []
        return taken


@pytest.fixture
def acts() -> Acts:
    return Acts()


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.keys.others |= {"ada": USER, "key": KEY}
    return made


def client(url: str, credential: str | None, **more: Any) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {credential}"} if credential else {}
    return httpx.AsyncClient(base_url=url, headers={**headers, **more}, timeout=10)


async def test_an_act_is_told_of_with_its_actor_target_and_outcome(bench: Bench, acts: Acts) -> None:
    api = bench.api(controllers=[DoorRoutes], recorder=acts)
    async with serving(api) as server, client(server.url, "ada", **{"X-Request-ID": "r1"}) as ada:
        assert (await ada.post("/v1/doors", json={"colour": "red", "password": "p"})).json()["id"] == "7"
        (made,) = acts.taken()
        assert (made.action, made.actor, made.target, made.outcome) == ("door.make", "user:ada", "door:7", "done")
        assert (made.request, made.address) == ("r1", "127.0.0.1")
        assert made.details == {"session": "s1", "colour": "red"}
        await ada.put("/v1/doors/5", json={})
        await ada.put("/v1/doors/brick", json={})
        await ada.put("/v1/doors/bug", json={})
        told = [(act.target, act.outcome, act.details.get("status")) for act in acts.taken()]
        assert told == [("door:5", "done", None), ("door:brick", "failed", 400), ("door:bug", "failed", 500)]
        await ada.post("/v1/doors/traffic")
        assert acts.taken() == []


async def test_a_key_acts_for_its_account(bench: Bench, acts: Acts) -> None:
    api = bench.api(controllers=[DoorRoutes], recorder=acts)
    async with serving(api) as server, client(server.url, "key") as key:
        await key.put("/v1/doors/5", json={})
    (act,) = acts.taken()
    assert (act.actor, act.details) == ("key:k1", {"account": "user:ada"})


async def test_whoever_shows_to_be_a_user_is_the_actor(bench: Bench, acts: Acts) -> None:
    api = bench.api(controllers=[DoorRoutes], recorder=acts)
    async with serving(api) as server, client(server.url, None) as stranger:
        await stranger.post("/v1/doors/enter", json={"password": "sesame"})
        await stranger.post("/v1/doors/enter", json={"password": "mellon"})
        await stranger.put("/v1/doors/5", json={})
    right, wrong, unknown = acts.taken()
    assert (right.actor, right.target, right.outcome) == ("user:ali", "user:ali", "done")
    assert (wrong.actor, wrong.target, wrong.outcome) == ("address:127.0.0.1", "user:ali", "denied")
    assert (unknown.actor, unknown.target, unknown.outcome) == ("address:127.0.0.1", "door:5", "denied")


async def test_what_is_forbidden_is_told_of_on_every_route(bench: Bench, acts: Acts) -> None:
    bench.keys.others["weak"] = Caller("user:bob", frozenset())
    api = bench.api(controllers=[DoorRoutes], recorder=acts)
    async with serving(api) as server, client(server.url, "weak") as bob:
        assert (await bob.get("/v1/doors")).status_code == 403
        assert (await bob.put("/v1/doors/5", json={})).status_code == 403
        assert (await bob.get("/v1/nowhere")).status_code == 404
    told = [(act.action, act.actor, act.target, act.outcome) for act in acts.taken()]
    assert told == [
        ("request.deny", "user:bob", "GET /v1/doors", "denied"),
        ("door.paint", "user:bob", "door:5", "denied"),
    ]


async def test_an_answer_that_is_replayed_is_no_act(bench: Bench, acts: Acts) -> None:
    api = bench.api(controllers=[DoorRoutes], recorder=acts)
    async with serving(api) as server, client(server.url, "ada", **{"Idempotency-Key": "once"}) as ada:
        for _ in range(3):
            assert (await ada.put("/v1/doors/5", json={})).status_code == 200
    assert len(acts.taken()) == 1


async def test_nobody_is_told_where_there_is_no_trail(bench: Bench) -> None:
    async with serving(bench.api(controllers=[DoorRoutes])) as server, client(server.url, "ada") as ada:
        assert (await ada.post("/v1/doors", json={})).status_code == 201
        assert (await ada.get("/v1/doors")).status_code == 403


def test_a_flood_is_told_of_in_part_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    flood = Flood()
    told = [flood.admits(f"address:10.0.0.{number % 7}") for number in range(REFUSALS + 5)]
    assert told == [0] * REFUSALS + [None] * 5
    assert flood.admits("user:ada") == 0, "an account is not hidden by strangers"
    now += 61
    assert [flood.admits("address:10.0.0.1"), flood.admits("address:10.0.0.1")] == [5, 0]
