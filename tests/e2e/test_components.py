"""Each component is made to die in turn, under posted load.

It is back within two seconds, and every acknowledged job runs.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import httpx

from runtime.environment import Environment
from runtime.outline import outline
from runtime.spec.load import load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
TASKS = """
from runtime import JobContext, task

RAN = []

@task("count")
async def count(job: JobContext, payload: dict) -> None:
    RAN.append(payload["number"])
"""


def spec_in(folder: Path) -> Path:
    (folder / "dying.py").write_text(TASKS)
    path = folder / "spec.yaml"
    overlay = {
        "extends": str(ROOT / "specs" / "development.yaml"),
        "name": "dying",
        "plugins": ["tasks", "dying"],
        "storage": {"path": "state"},
        "api": {"port": 0, "rate_limit": "100000/m"},
        "queues": {"counted": {"handler": "count", "concurrency": 4, "retry": {"backoff": "100ms"}}},
        "schedules": {"yearly": {"queue": "counted", "cron": "0 0 1 1 *", "payload": {"number": 0}}},
    }
    (folder / "tasks.py").write_text((ROOT / "specs" / "tasks.py").read_text())
    path.write_text(json.dumps(overlay))
    return path


@asynccontextmanager
async def served(spec: Path) -> AsyncIterator[Environment]:
    environment = Environment(load(spec))
    ready = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(environment.serve, lambda status: None, ready.set)
        await ready.wait()
        yield environment
        environment.stop()


async def post_until(over: anyio.Event, environment: Environment, acknowledged: list[int]) -> None:
    key = environment.state.operator_key.read_text().strip()
    number = 0
    async with httpx.AsyncClient(base_url=environment.url, headers={"Authorization": f"Bearer {key}"}) as client:
        while not over.is_set():
            number += 1
            try:
                answer = await client.post("/v1/queues/counted/jobs", json={"payload": {"number": number}})
            except httpx.TransportError:
                await anyio.sleep(0.01)
                continue
            if answer.status_code == 202:
                acknowledged.append(number)


async def test_each_component_in_turn_comes_back(tmp_path: Path) -> None:
    async with served(spec_in(tmp_path)) as environment:
        kernel = environment.kernel
        assert kernel is not None
        ran: list[int] = __import__("dying").RAN
        before = len(asyncio.all_tasks())
        acknowledged: list[int] = []
        over = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post_until, over, environment, acknowledged)
            for id_ in list(kernel.components):
                known = len(acknowledged)
                kernel.fail(id_, RuntimeError("made to die by the test"))
                with anyio.fail_after(2):
                    while True:
                        status = next(status for status in kernel.status() if status.id == id_)
                        if status.restarts == 1 and status.state == "running":
                            break
                        await anyio.sleep(0.005)
                with anyio.fail_after(10):
                    while len(acknowledged) < known + 5:
                        await anyio.sleep(0.005)
            over.set()
        with anyio.fail_after(30):
            while set(acknowledged) - set(ran):
                await anyio.sleep(0.02)
        assert Counter(acknowledged).most_common(1)[0][1] == 1
        assert len(asyncio.all_tasks()) < before + 20  # nothing of the old lives is left to pile up


async def test_the_environment_is_what_its_outline_says(tmp_path: Path) -> None:
    spec = spec_in(tmp_path)
    drawn = {node.id: frozenset(node.needs) for node in outline(load(spec).data)}
    async with served(spec) as environment:
        assert environment.kernel is not None
        running = {id_: component.awaits for id_, component in environment.kernel.components.items()}
    assert running == drawn


async def test_a_schedule_runs_where_its_queue_does(tmp_path: Path) -> None:
    async with served(spec_in(tmp_path)) as environment:
        assert environment.kernel is not None
        health = await environment.kernel.health()
    yearly, nightly = health["schedules.yearly"], health["schedules.nightly-export"]
    assert (yearly.status, yearly.details["next"][4:]) == ("operational", "-01-01T00:00:00+00:00")
    assert (nightly.status, nightly.reason) == (
        "not built",
        'the handler "transfers.export" of the queue "export" is not built in this version',
    )
