"""A real server for each test, with routes that do what real ones do."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from runtime.health import Health
from runtime.http.api import Api
from runtime.http.health import Checked
from runtime.http.operator_key import OperatorKey, new_key
from runtime.http.server import HttpServer
from runtime.http.spec import ApiSpec
from runtime.storage.cache import MemoryCache
from tests.http.routes import Done, ThingsController
from tests.valkey import valkey

if TYPE_CHECKING:
    from runtime.http.access import Caller

__all__ = ["valkey"]

Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


class Services:
    """Health as a test sets it."""

    def __init__(self) -> None:
        self.draining = False
        self.states: dict[str, tuple[Health, bool]] = {
            "storage": (Health(details={"version": "9.1"}), True),
            "jobs": (Health(), False),
            "ai": (Health("not built", "ai is not built in this version"), False),
        }

    async def services(self) -> Mapping[str, Checked]:
        now = datetime.now(UTC)
        return {name: Checked(health, now, essential) for name, (health, essential) in self.states.items()}


class View:
    """An environment with twelve revisions."""

    async def summary(self) -> Mapping[str, Any]:
        return {"name": "core", "revision": 12, "components": []}

    def spec(self) -> Mapping[str, Any]:
        return {"version": 1, "name": "core"}

    def revisions(self) -> list[dict[str, Any]]:
        return [{"number": number, "outcome": "applied"} for number in range(12, 0, -1)]


class Keys:
    """The operator's key, and others as a test adds them."""

    def __init__(self, operator: str) -> None:
        self._operator = OperatorKey(operator)
        self.others: dict[str, Caller] = {}

    def known(self, credential: str) -> Caller | None:
        return self._operator.known(credential)

    async def caller(self, credential: str, address: str) -> Caller | None:
        return self.others.get(credential) or await self._operator.caller(credential, address)


class Bench:
    """What a test builds its application from.

    Attributes:
        key: the operator's.
        keys: who may call.
        services: what `/healthz` shows.
        done: what the routes have done.
    """

    def __init__(self) -> None:
        self.key = new_key()
        self.keys = Keys(self.key)
        self.services = Services()
        self.done = Done()

    def api(self, settings: Mapping[str, Any] | None = None, **changes: Any) -> Api:
        """An application; `settings` are those of `api` in the spec, `changes` those of `Api`."""
        made: dict[str, Any] = {
            "name": "core",
            "version": "0.1.0",
            "access": self.keys,
            "health": self.services,
            "cache": MemoryCache(),
            "view": View(),
            "controllers": [ThingsController],
            "dependencies": {"done": self.done},
        }
        return Api(ApiSpec.model_validate(settings or {}), **{**made, **changes})

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    @asynccontextmanager
    async def client(self, api: Api | None = None, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
        """A client with the operator's key against a server that runs until the block's end."""
        async with (
            serving(api or self.api(), **changes) as server,
            httpx.AsyncClient(base_url=server.url, headers=self.authorization, timeout=10) as client,
        ):
            yield client


@asynccontextmanager
async def serving(api: Api, **changes: Any) -> AsyncIterator[HttpServer]:
    """A server on a free port, until the block's end."""
    listener = listening()
    try:
        server = HttpServer(api, listener.dup, **changes)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()
    finally:
        listener.close()


def listening() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    listener.setblocking(False)
    return listener


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    """The operator's client against a server of its own."""
    async with bench.client() as client:
        yield client
