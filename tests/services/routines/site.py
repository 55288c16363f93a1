"""A small environment that runs routines: what their tests build on."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from runtime.plugins import Mark, Registry
from runtime.services.events.adapters.redis import RedisStreams
from runtime.services.events.service import EventBus
from runtime.services.events.spec import EventsSpec
from runtime.services.jobs.adapters.saq import SaqBackend
from runtime.services.jobs.ports import ENDED, Author, Draft
from runtime.services.jobs.service import JobQueues
from runtime.services.jobs.spec import QueueSpec
from runtime.services.jobs.worker import QueueWorker
from runtime.services.routines.service import RoutineService
from runtime.services.routines.spec import RoutineSpec
from runtime.services.routines.workers import run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime.services.jobs.ports import JobContext, JobView
    from runtime.services.sandbox.ports import Sandbox
    from runtime.storage.wire import WiredRedis

QUICK = {"backoff": "20ms", "jitter": False}


async def echo(job: JobContext, payload: dict[str, Any]) -> Any:
    """The task of the queue `work`: its payload is its result."""
    return payload


class Site:
    """Two queues, `run` and `work`, a stream `s`, and workers that are stopped at the end.

    Args:
        routines: the `routines` section.
        task: what the queue `work` runs.
        section: of the queue `run`.
    """

    def __init__(
        self,
        client: WiredRedis,
        routines: Mapping[str, Any],
        *,
        task: Callable[..., Any] = echo,
        sandbox: Sandbox | None = None,
        **section: Any,
    ) -> None:
        self.client = client
        self.sandbox = sandbox
        self.routines = RoutineService(_specs(routines), "run", frozenset())
        queues = {
            "run": {"handler": "routines.run", "retry": {"attempts": 2, **QUICK}, "lease": "1s", **section},
            "work": {"handler": "work", "retry": {"attempts": 1}, "lease": "1s"},
        }
        self.specs = {name: QueueSpec.model_validate(queue) for name, queue in queues.items()}
        marks = [Mark("task", "routines.run", run, accepts=self.routines.accept), Mark("task", "work", task)]
        self.jobs = JobQueues(self.specs, Registry(marks), SaqBackend(client, "rt:test:", instance=""))
        streams = RedisStreams(client, "rt:test:", source="test", instance="")
        self.events = EventBus(EventsSpec.model_validate({"streams": {"s": {"events": {"a.b": {}}}}}), streams)
        self.workers: list[QueueWorker] = []

    async def start(self, *queues: str) -> Site:
        """Starts workers of these queues, of both by default."""
        await self.routines.start()
        for queue in queues or self.specs:
            worker = QueueWorker(queue, self.specs[queue], self.jobs, self.events, sandbox=self.sandbox)
            await worker.start()
            self.workers.append(worker)
        return self

    async def stop(self) -> None:
        for worker in self.workers:
            await worker.stop()
        await self.routines.stop()

    async def change(self, routines: Mapping[str, Any]) -> None:
        """Applies another `routines` section while it runs."""
        await self.routines.update({"routines": routines})

    async def begin(self, routine: str = "r", *, owner: str | None = None, **given: Any) -> JobView:
        by = Author(owner) if owner else None
        return await self.jobs.submit("run", Draft({"routine": routine, "input": given}, owner=owner, by=by))

    async def run(self, routine: str = "r", *, owner: str | None = None, **given: Any) -> JobView:
        """Runs a routine to its end."""
        return await self.ended(await self.begin(routine, owner=owner, **given))

    async def ended(self, job: JobView) -> JobView:
        return await self.until(job, lambda view: view.status in ENDED)

    async def until(self, job: JobView, seen: Callable[[JobView], bool]) -> JobView:
        """A job as soon as it is seen in some way."""
        async with asyncio.timeout(15):
            while not seen(view := await self.jobs.get(job.id)):
                await asyncio.sleep(0.01)
        return view


def _specs(routines: Mapping[str, Any]) -> dict[str, RoutineSpec]:
    return {name: RoutineSpec.model_validate(spec) for name, spec in routines.items()}


class Elsewhere:
    """A web server that answers as a test wants.

    Args:
        answers: by path: what it says to each request in turn, the last one for ever: a status, JSON, or bytes.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = {}
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.came = asyncio.Event()
        self._gates: dict[str, asyncio.Event] = {}
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        self.url = ""

    async def start(self) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        for gate in self._gates.values():
            gate.set()
        await self._runner.cleanup()

    def hold(self, path: str) -> asyncio.Event:
        """Lets requests to a path wait until the event is set."""
        self._gates[path] = asyncio.Event()
        return self._gates[path]

    async def asked(self, path: str) -> None:
        """Waits until a path has been asked for."""
        async with asyncio.timeout(30):
            while not self.came_to(path):
                self.came.clear()
                await self.came.wait()

    def came_to(self, path: str) -> int:
        """How many requests a path has got."""
        return sum(asked == path for _, asked, _, _ in self.requests)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        body = json.loads(content) if content else None
        self.requests.append((request.method, request.path, dict(request.headers), body))
        self.came.set()
        if request.path in self._gates:
            await self._gates[request.path].wait()
        left = self.answers.get(request.path, [{"path": request.path}])
        said = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(said, web.StreamResponse):
            return said
        if isinstance(said, int):
            return web.Response(status=said)
        return web.Response(body=said) if isinstance(said, bytes) else web.json_response(said)
