"""Calls whose answer gets lost on the way: the client sends them again, and they mean the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ConnectionError as Broken

from runtime.services.jobs.adapters import scripts
from runtime.storage.wire import evaluation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from runtime.services.jobs.ports import JobContext
    from runtime.storage.wire import WiredRedis


@pytest.fixture
async def patient(shared_server: Any, client: WiredRedis) -> AsyncIterator[WiredRedis]:
    """A client that sends a command again whose connection breaks."""
    client = shared_server.client(retries=40)
    yield client
    await client.aclose()


def lose_the_answer(client: WiredRedis, monkeypatch: pytest.MonkeyPatch, script: str) -> Callable[[], int]:
    """The connection breaks when the server has run a script, once; how often it was sent."""
    call, digest, sent = client.wire.call, evaluation(script, [], [])[1], 0

    async def breaking(command: tuple[Any, ...]) -> Any:
        nonlocal sent
        answer = await call(command)
        if command[:2] == ("EVALSHA", digest):
            sent += 1
            if sent == 1:
                raise Broken("the connection was lost")
        return answer

    monkeypatch.setattr(client.wire, "call", breaking)
    return lambda: sent


async def failing(job: JobContext, payload: dict[str, Any]) -> None:
    raise ValueError("as ever")


async def test_a_cancellation(patient: WiredRedis, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    at = bench(failing, over=patient)
    job = await at.jobs.enqueue("q", {})
    await patient.evaluate(scripts.CANCEL, ["w"], ["none:", "x", "", "", 1, "", ""])  # the server knows the script
    sent = lose_the_answer(patient, monkeypatch, scripts.CANCEL)
    assert (await at.jobs.cancel(job.id)).status == "cancelled"
    assert sent() > 1
    assert (await at.jobs.queue("q")).cancelled == 1


async def test_a_pause_and_its_end(patient: WiredRedis, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    at = bench(failing, over=patient)
    job = await at.jobs.enqueue("q", {})
    for script in (scripts.REST, scripts.WAKE):
        await patient.evaluate(script, ["w"], ["none:", "x", 0])
    paused = lose_the_answer(patient, monkeypatch, scripts.REST)
    assert (await at.jobs.rest(job.id)).status == "paused"
    resumed = lose_the_answer(patient, monkeypatch, scripts.WAKE)
    assert (await at.jobs.wake(job.id)).status == "queued"
    assert (paused(), resumed()) == (2, 2)
    assert (await at.jobs.queue("q")).waiting == 1
    assert (await at.jobs.wake(job.id)).status == "queued"  # it is as was wished


async def test_a_replay(patient: WiredRedis, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    at = bench(failing, over=patient, retry={"attempts": 1})
    worker = await at.work()
    jobs = [await at.jobs.enqueue("q", {}) for _ in range(3)]
    await at.ended(*jobs)
    await worker.stop()
    await patient.evaluate(scripts.REPLAY, ["w"], ["none:", 0, "first"])
    sent = lose_the_answer(patient, monkeypatch, scripts.REPLAY)
    assert (await at.jobs.retry(jobs[0].id)).status == "queued"
    replayed = await at.jobs.replay("q")
    assert (replayed.replayed, replayed.refused, replayed.left) == (2, [], 0)
    assert sent() == 3
    assert (await at.jobs.queue("q")).waiting == 3
    await at.work()
    async with asyncio.timeout(10):
        while (await at.jobs.queue("q")).dead < 3:
            await asyncio.sleep(0.01)
