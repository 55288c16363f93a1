"""The platform's own events: told where a stream declares them, in order, and never in a flood."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from runtime.health import Health
from runtime.services.events.adapters.memory import MemoryStreams
from runtime.services.events.platform import REFUSALS, WAITING
from runtime.services.events.service import EventBus
from runtime.services.events.spec import EventsSpec
from runtime.vitals import Vitals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STREAMS: dict[str, Any] = {
    "system": {"events": {"service.health": {}, "workers.scaled": {}, "job.failed": {}}},
    "security": {"events": {"login.failed": {}}},
    "mirror": {"events": {"workers.scaled": {}}},
}


@pytest.fixture
async def bus() -> AsyncIterator[EventBus]:
    made = EventBus(EventsSpec.model_validate({"streams": STREAMS}), MemoryStreams())
    watching = asyncio.create_task(made.watch())
    yield made
    watching.cancel()
    await asyncio.wait({watching})
    await made.stop()


async def published(bus: EventBus, stream: str, count: int) -> list[Any]:
    async with asyncio.timeout(10):
        while len(events := await bus.read(stream, limit=1000)) < count:
            await asyncio.sleep(0.005)
    return [dict(event.data) for event in events]


async def test_each_stream_that_declares_a_type_gets_it(bus: EventBus) -> None:
    bus.platform.scaled("email", before=1, after=4, reason="3 jobs wait")
    bus.platform.job_ended("email.1", "email", status="completed")
    bus.platform.job_ended("email.2", "email", status="failed", error="no")
    assert await published(bus, "mirror", 1) == [{"queue": "email", "before": 1, "after": 4, "reason": "3 jobs wait"}]
    assert (await published(bus, "system", 2))[1] == {"job": "email.2", "queue": "email", "error": "no"}
    assert bus.platform.wants("job.failed")
    assert not bus.platform.wants("job.completed")


async def test_a_flood_of_refusals_is_told_in_part(bus: EventBus) -> None:
    for n in range(REFUSALS + 30):
        bus.platform.sign_in_refused(f"10.0.0.{n}", method="key", reason="the key is not valid")
    assert len(await published(bus, "security", REFUSALS)) == REFUSALS
    began, told, _ = bus.platform._refusals
    bus.platform._refusals = (began - 61, told, 30)
    bus.platform.sign_in_refused("10.0.0.1", method="key", reason="the key is not valid")
    assert (await published(bus, "security", REFUSALS + 1))[-1]["left_out"] == 30


async def test_what_is_told_while_the_bus_is_away_waits_within_bounds() -> None:
    bus = EventBus(EventsSpec.model_validate({"streams": STREAMS}), MemoryStreams())
    for n in range(WAITING + 7):
        bus.platform.job_ended(f"q.{n}", "q", status="failed")
    watching = asyncio.create_task(bus.watch())
    jobs = [data["job"] for data in await published(bus, "system", WAITING)]
    assert jobs == [f"q.{n}" for n in range(7, WAITING + 7)]
    watching.cancel()
    await asyncio.wait({watching})


class Kernel:
    """Components whose health a test sets."""

    def __init__(self) -> None:
        self.answers: dict[str, Health] = {}

    async def health(self) -> dict[str, Health]:
        return dict(self.answers)


async def test_every_change_of_health_is_told_once(bus: EventBus) -> None:
    kernel = Kernel()
    vitals = Vitals(kernel, lambda: bus.platform, lambda text: text.replace("s3cret", "***"))  # type: ignore[arg-type]
    kernel.answers = {"storage.redis": Health(), "jobs.a": Health(), "ai": Health("not built", "not here")}
    await vitals.look()
    await vitals.look()
    kernel.answers["storage.redis"] = Health("down", "no answer to s3cret")
    await vitals.look()
    kernel.answers = {"storage.redis": Health()}
    await vitals.look()
    told = [(d["component"], d["before"], d["status"], d["reason"]) for d in await published(bus, "system", 5)]
    assert told == [
        ("storage.redis", None, "operational", ""),
        ("jobs.a", None, "operational", ""),
        ("storage.redis", "operational", "down", "no answer to ***"),
        ("storage.redis", "down", "operational", ""),
        ("jobs.a", "operational", "gone", ""),
    ]
