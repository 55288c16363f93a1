"""Answers on their way out: joined on the wire, plain JSON without detours, ports without tasks."""

from __future__ import annotations

import asyncio
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
from litestar import Controller, get
from litestar.di import Provide
from litestar.params import FromPath  # noqa: TC002 - Litestar reads it

from runtime.errors import Fault
from runtime.http.access import OPEN, Caller
from runtime.http.ports import Port  # noqa: TC001 - Litestar reads it
from runtime.http.wire import JOINED, Joining

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.http.conftest import Bench

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
COMPLETE = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx-more: 1\r\n\r\n"


class Recording(asyncio.Transport):
    """Notes what is handed to it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.writes.append(b"|".join(bytes(data) for data in list_of_data))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def sent() -> Recording:
    return Recording()


@pytest.fixture
async def over(sent: Recording) -> Joining:
    return Joining(sent, asyncio.get_running_loop())


def begin(over: Joining) -> None:
    over.complete(b"x-more: 1\r\n")
    over.write(HEAD)


async def test_head_and_body_go_out_together(sent: Recording, over: Joining) -> None:
    begin(over)
    assert sent.writes == []
    over.write(b"body")
    begin(over)
    over.write(b"")  # the body of an answer without one
    assert sent.writes == [COMPLETE + b"body", COMPLETE]


async def test_a_head_whose_body_takes_its_time_does_not_wait_for_it(sent: Recording, over: Joining) -> None:
    begin(over)
    await asyncio.sleep(0)
    assert sent.writes == [COMPLETE]
    over.write(b"later")
    assert sent.writes == [COMPLETE, b"later"]


async def test_what_only_looks_like_a_head_is_left_alone(sent: Recording, over: Joining) -> None:
    over.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    begin(over)
    over.write(HEAD)
    over.write(HEAD)
    assert sent.writes == [b"HTTP/1.1 100 Continue\r\n\r\n", COMPLETE + HEAD, HEAD]


async def test_a_large_body_is_not_copied_and_a_closed_connection_loses_nothing(sent: Recording, over: Joining) -> None:
    begin(over)
    over.write(b"x" * (JOINED + 1))
    begin(over)
    over.close()
    assert sent.writes == [COMPLETE + b"|" + b"x" * (JOINED + 1), COMPLETE]
    assert sent.closed


async def test_an_answer_says_each_thing_once(bench: Bench) -> None:
    async with bench.client() as client:
        for path in ("/livez", "/docs", "/v1/things/me", "/nope"):
            answer = await client.get(path)
            names = [name for name, _ in answer.headers.raw]
            assert len(names) == len({name.lower() for name in names}), answer.headers
            assert answer.headers["x-frame-options"] == "DENY"


class Handed(Controller):
    """Takes ports, alone and beside a parameter."""

    @get("/v1/handed", opt=OPEN, sync_to_thread=False)
    def alone(self, one: Port[str], two: Port[int], caller: Port[Caller]) -> dict[str, Any]:
        return {"one": one, "two": two, "caller": caller.id}

    @get("/v1/handed/{number:int}", opt=OPEN, sync_to_thread=False)
    def beside(self, number: FromPath[int], two: Port[int], one: Port[str]) -> dict[str, Any]:
        return {"one": one, "two": two, "number": number}

    @get("/v1/handed/path", opt=OPEN, sync_to_thread=False)
    def known_type(self) -> dict[str, Any]:
        return {"path": PurePosixPath("a/b")}  # a type that Litestar knows and msgspec does not


async def test_ports_are_handed_over_whatever_else_a_handler_takes(bench: Bench) -> None:
    api = bench.api(controllers=[Handed], dependencies={"one": "1", "two": 2})
    async with bench.client(api) as client:
        assert (await client.get("/v1/handed")).json() == {"one": "1", "two": 2, "caller": "key:operator"}
        assert (await client.get("/v1/handed/7")).json() == {"one": "1", "two": 2, "number": 7}
        assert (await client.get("/v1/handed/seven")).status_code == 404
        path = await client.get("/v1/handed/path")
        assert (path.json(), path.headers["content-type"]) == ({"path": "a/b"}, "application/json")


async def test_a_dependency_that_is_no_port_is_refused_at_the_start(bench: Bench) -> None:
    class Own(Controller):
        dependencies = {"mine": Provide(lambda: 1, sync_to_thread=False)}

        @get("/v1/own", opt=OPEN, sync_to_thread=False)
        def own(self, mine: Port[int]) -> int:
            return mine

    with pytest.raises(Fault, match="no ports: mine"):
        bench.api(controllers=[Own])
