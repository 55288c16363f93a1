"""Routes for the tests: each does one thing that real ones do."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
import msgspec
from litestar import Controller, delete, get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter, RawBody

from runtime.errors import Conflict, Fault, NotFound, TooMany, Unreachable
from runtime.http.access import OPEN, Caller, scope
from runtime.http.paging import After, Limit, Page, cursor, position
from runtime.http.ports import Port
from runtime.http.sse import EventStream, ServerEvent


class Part(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    weight: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    count: int = 0
    parts: list[Part] = []
    labels: dict[str, list[int]] = {}
    more: Any = None


class Made(msgspec.Struct):
    number: int
    name: str


class Done:
    """What the routes have done, and the gates at which they wait."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.entered = anyio.Event()
        self.gate = anyio.Event()
        self.closed = anyio.Event()
        self.sent = 0


class ThingsController(Controller):
    path = "/v1/things"
    tags = ["things"]

    @post(opt=scope("things:write"), status_code=202)
    async def make(self, data: JSONBody[Thing], done: Port[Done]) -> Made:
        """Makes a thing."""
        done.made.append(data.name)
        return Made(len(done.made), data.name)

    @get(opt=scope("things:read"))
    async def show_all(self, limit: Limit = 50, after: After = None) -> Page[Made]:
        first = position("things", after) if after is not None else 0
        made = [Made(number, f"thing {number}") for number in range(first, min(first + limit, 7))]
        return Page(made, cursor("things", first + limit) if first + limit < 7 else None)

    @get("/{number:int}", opt=scope("things:read"))
    async def show(self, number: FromPath[int]) -> Made:
        if number > 6:
            raise NotFound(f"no thing {number}", remedy="There are 0 to 6.")
        return Made(number, f"thing {number}")

    @put("/{number:int}", opt=scope("things:write"))
    async def change(self, number: FromPath[int], data: JSONBody[dict[str, Any]]) -> dict[str, Any]:
        return {"number": number, **data}

    @delete("/{number:int}", opt=scope("things:write"))
    async def remove(self, number: FromPath[int], done: Port[Done]) -> None:
        done.made.append(f"removed {number}")

    @get("/me", opt=scope("things:read"))
    async def me(self, caller: Port[Caller]) -> dict[str, str]:
        return {"id": caller.id}

    @get("/open", opt=OPEN)
    async def open(self, caller: Port[Caller]) -> dict[str, str]:
        return {"id": caller.id}

    @get("/search", opt=scope("things:read"))
    async def search(
        self,
        size: Annotated[int, QueryParameter(ge=1, le=9)],
        exact: Annotated[bool, QueryParameter()] = False,
    ) -> dict[str, Any]:
        return {"size": size, "exact": exact}

    @post("/form", opt={**scope("things:write"), "media": {"text/plain"}})
    async def form(self, body: RawBody) -> dict[str, int]:
        return {"length": len(body)}

    @post("/slow", opt=scope("things:write"))
    async def slow(self, done: Port[Done]) -> Made:
        done.entered.set()
        await done.gate.wait()
        done.made.append("slow")
        return Made(len(done.made), "slow")

    @post("/large", opt=scope("things:write"))
    async def large(self, done: Port[Done]) -> dict[str, str]:
        done.made.append("large")
        return {"text": "x" * 1_100_000}

    @post("/wrong/{kind:str}", opt=scope("things:write"))
    async def wrong(self, kind: FromPath[str], done: Port[Done]) -> None:
        done.made.append(kind)
        raise {
            "bug": ZeroDivisionError("the secret inside is hunter2"),
            "fault": Fault("the secret inside is hunter2"),
            "conflict": Conflict("it is there already"),
            "busy": TooMany("too many at once", retry_after=2.2),
            "away": Unreachable("storage.redis", "redis://10.0.0.7:6379", "refused"),
        }[kind]

    @get("/stream", opt=scope("things:read"), media_type="text/event-stream")
    async def stream(self, done: Port[Done], kind: Annotated[str, QueryParameter()] = "three") -> EventStream:
        def shown(number: int) -> ServerEvent:
            return ServerEvent(str(number), "thing", {"number": number, "text": "one\ntwo"})

        return EventStream(_numbers(kind, done), shown, heartbeat=0.05, stall=0.3)


class QueueController(Controller):
    @get("/v1/queues/{name:str}", opt=scope("jobs:read"))
    async def queue(self, name: FromPath[str]) -> str:
        return name


async def _numbers(kind: str, done: Done) -> AsyncIterator[int]:
    try:
        if kind == "flood":
            while True:
                done.sent += 1
                yield done.sent
        for number in range(3):
            yield number
        if kind == "endless":
            await anyio.sleep_forever()
        if kind == "fault":
            raise NotFound("the stream is gone")
        if kind == "bug":
            raise ZeroDivisionError("the secret inside is hunter2")
    finally:
        done.closed.set()
