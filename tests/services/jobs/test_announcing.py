"""Events that a job publishes with its completion, in one step at the server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import NotFound
from runtime.services.events.adapters.memory import MemoryStreams
from runtime.services.events.adapters.redis import RedisStreams
from runtime.services.events.service import EventBus
from runtime.services.events.spec import EventsSpec
from runtime.services.jobs.worker import QueueWorker

if TYPE_CHECKING:
    from runtime.services.jobs.ports import JobContext
    from runtime.storage.wire import WiredRedis

SPEC: dict[str, Any] = {"streams": {"orders": {"events": {"order.paid": {}, "job.failed": {}}}}}


async def pay(job: JobContext, payload: dict[str, Any]) -> str:
    job.announce("orders", "order.paid", {"order": payload["order"]}, key="ada")
    if payload.get("fails"):
        raise ValueError("no")
    return "paid"


@pytest.fixture(params=["redis", "memory"])
def bus(request: Any, client: WiredRedis) -> EventBus:
    backend = RedisStreams(client, "rt:test:") if request.param == "redis" else MemoryStreams()
    return EventBus(EventsSpec.model_validate(SPEC), backend)


async def test_an_event_is_published_if_and_only_if_the_job_completes(bench: Any, bus: EventBus) -> None:
    at = bench(pay, retry={"attempts": 2, "backoff": "10ms"})
    worker = QueueWorker("q", at.specs["q"], at.jobs, bus)
    await worker.start()
    at.workers.append(worker)
    good = await at.jobs.enqueue("q", {"order": 1})
    bad = await at.jobs.enqueue("q", {"order": 2, "fails": True})
    assert [job.status for job in await at.ended(good, bad)] == ["completed", "failed"]
    events = await bus.read("orders")
    assert [(event.type, event.key, event.data) for event in events] == [("order.paid", "ada", {"order": 1})]


async def test_what_its_stream_does_not_take_fails_the_try_at_once(bench: Any, bus: EventBus) -> None:
    seen: list[str] = []

    async def wrong(job: JobContext, payload: dict[str, Any]) -> None:
        for stream, type_ in (("order", "order.paid"), ("orders", "order.payed")):
            with pytest.raises(NotFound) as refused:
                job.announce(stream, type_, {})
            seen.append(refused.value.remedy)

    at = bench(wrong)
    worker = QueueWorker("q", at.specs["q"], at.jobs, bus)
    await worker.start()
    at.workers.append(worker)
    assert (await at.ended(await at.jobs.enqueue("q", {})))[0].status == "completed"
    assert seen == ['Did you mean "orders"?', 'Did you mean "order.paid"?']


async def test_a_stream_that_declares_it_hears_what_becomes_of_jobs(bench: Any, bus: EventBus) -> None:
    at = bench(pay, retry={"attempts": 1})
    worker = QueueWorker("q", at.specs["q"], at.jobs, bus, platform=bus.platform)
    telling = asyncio.create_task(bus.platform.run())
    await worker.start()
    at.workers.append(worker)
    bad = await at.jobs.enqueue("q", {"order": 2, "fails": True})
    await at.ended(bad)
    async with asyncio.timeout(5):
        while not (events := await bus.read("orders")):
            await asyncio.sleep(0.005)
    assert [(event.type, event.data) for event in events] == [
        ("job.failed", {"job": bad.id, "queue": "q", "error": "ValueError: no"})
    ]
    telling.cancel()
    await bus.stop()
