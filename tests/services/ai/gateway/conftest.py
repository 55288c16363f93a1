"""The gateway behind a real HTTP server, with its states in a real Valkey."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from runtime.errors import InsufficientCredit
from runtime.http.api import Api
from runtime.http.operator_key import OperatorKey, new_key
from runtime.http.spec import ApiSpec
from runtime.services.ai.accounting import Admission
from runtime.services.ai.adapters.redis import RedisConditions
from runtime.services.ai.client import ProviderClient
from runtime.services.ai.figures import Figures
from runtime.services.ai.routes.chat import AiRoutes
from runtime.services.ai.service import AiService
from runtime.services.ai.settings import Settings
from runtime.storage.cache import MemoryCache
from runtime.telemetry.metrics import Metrics
from tests.http.conftest import Services, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from runtime.http.server import HttpServer
    from runtime.services.ai.accounting import Account, Call, Candidate
    from runtime.services.ai.usage import Attempt, Usage
    from runtime.storage.wire import WiredRedis
    from runtime.telemetry.tracing import Tracing


class Books:
    """Books kept in memory: every row, every call, and a credit of tokens out."""

    def __init__(self) -> None:
        self.rows: list[Attempt] = []
        self.calls: list[Call] = []
        self.closed: list[str] = []
        self.credit: int | None = None
        """Tokens out that a call has; None for any number."""
        self.admit: Callable[[Candidate], None] = lambda _: None
        self.changed = asyncio.Event()

    async def open(self, call: Call) -> Account:
        if self.credit == 0:
            raise InsufficientCredit("the credit is gone")
        self.calls.append(call)
        return Book(self, call)

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        return [(row.provider, row.outcome) for row in self.rows]

    async def until(self, rows: int) -> None:
        """Waits until so many rows are written."""
        async with asyncio.timeout(10):
            while len(self.rows) < rows:
                self.changed.clear()
                await self.changed.wait()


class Book:
    """The books of one call."""

    cost = 0
    reports: Mapping[str, Any] | None = None

    def __init__(self, books: Books, call: Call) -> None:
        self._books = books
        self._call = call

    async def admit(self, candidate: Candidate) -> Admission:
        self._books.admit(candidate)
        return Admission(self._books.credit, 0)

    def spent(self, usage: Usage) -> bool:
        credit = self._books.credit
        return credit is not None and usage.output > credit

    async def record(self, attempt: Attempt) -> int:
        self._books.rows.append(attempt)
        self._books.changed.set()
        self.cost += attempt.usage.total * 1000
        return attempt.usage.total * 1000

    async def check_output(self, text: str) -> Mapping[str, Any] | None:
        return None

    async def close(self) -> None:
        self._books.closed.append(self._call.id)


class Keys:
    """Users' own keys."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], str] = {}

    async def reveal(self, user: str, provider: str) -> str | None:
        return self.known.get((user, provider))


class Running:
    """A gateway that runs."""

    def __init__(self, service: AiService, books: Books, server: HttpServer, key: str, metrics: Metrics) -> None:
        self.service = service
        self.books = books
        self.server = server
        self.key = key
        self.metrics = metrics
        self.http = httpx.AsyncClient(
            base_url=server.url, headers={"Authorization": f"Bearer {key}"}, timeout=20, trust_env=False
        )

    async def chat(self, model: str = "default", content: Any = "Hi", **fields: Any) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": content}], **fields}
        return await self.http.post("/v1/chat/completions", json=body)

    def state(self, provider: str) -> str:
        return next(view.state for view in self.service.providers() if view.name == provider)


Launch = Any


@pytest.fixture
async def launch(client: WiredRedis) -> AsyncIterator[Launch]:
    """Starts a gateway: `await launch({"openai": url}, chains={...})`; several share their states."""
    async with AsyncExitStack() as stack:

        async def start(
            providers: Mapping[str, Any],
            *,
            keys: Any = None,
            over: WiredRedis | None = None,
            tracing: Tracing | None = None,
            **section: Any,
        ) -> Running:
            written = {name: _section(name, about) for name, about in providers.items()}
            data = {"providers": written, **section}
            clients = {name: ProviderClient(name, one) for name, one in written.items()}
            books, metrics = Books(), Metrics("test", "0")
            service = AiService(
                Settings(data),
                clients,
                RedisConditions(over or client, "rt:test:ai:"),
                books,
                Figures(),
                keys=keys,
                metrics=metrics,
                tracing=tracing,
            )
            parts: list[Any] = [*clients.values(), service]
            for each in parts:
                await each.start()
                stack.push_async_callback(each.stop)
            watching = asyncio.create_task(service.watch())
            stack.push_async_callback(_ended, watching)
            key = new_key()
            api = Api(
                ApiSpec.model_validate({"rate_limit": "100000/m"}),
                name="test",
                version="0",
                access=OperatorKey(key),
                health=Services(),
                cache=MemoryCache(),
                controllers=[AiRoutes],
                dependencies={"ai": service},
                metrics=metrics,
                tracing=tracing,
            )
            server = await stack.enter_async_context(serving(api))
            running = Running(service, books, server, key, metrics)
            stack.push_async_callback(running.http.aclose)
            return running

        yield start


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _section(name: str, about: Any) -> dict[str, Any]:
    """A provider's section: of an address, the kind that its name begins with."""
    if not isinstance(about, str):
        return dict(about)
    kind = name.rstrip("0123456789")
    path = "/v1" if kind == "openai" else ""
    return {"kind": kind, "api_key": f"sk-{name}", "base_url": about + path}
