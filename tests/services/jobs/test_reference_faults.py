"""What went wrong with jobs in the system that this one replaces; each of its faults is a test."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Conflict, Invalid

if TYPE_CHECKING:
    from runtime.services.jobs.ports import JobContext


@dataclass
class Code:
    code: str


async def test_the_time_limit_of_a_job_is_not_ignored(bench: Any) -> None:
    async def endless(job: JobContext, payload: dict[str, Any]) -> None:
        await asyncio.sleep(3600)

    at = bench(endless, timeout="50ms", retry={"attempts": 1})
    await at.work()
    (ended,) = await at.ended(await at.jobs.enqueue("q", {}))
    assert (ended.status, ended.error) == ("failed", "it took longer than 0.05 s")


async def test_a_job_is_not_dropped_because_one_of_its_name_is_kept(bench: Any) -> None:
    """The second password-reset mail of a day never came."""
    sent: list[int] = []

    async def send(job: JobContext, payload: dict[str, Any]) -> None:
        sent.append(payload["number"])

    at = bench(send)
    first = await at.jobs.enqueue("q", {"number": 1}, key="reset:ada")
    with pytest.raises(Conflict, match=first.id):  # while the first one waits, the caller is told
        await at.jobs.enqueue("q", {"number": 2}, key="reset:ada")
    await at.work()
    await at.ended(first)
    await at.ended(await at.jobs.enqueue("q", {"number": 2}, key="reset:ada"))
    assert sent == [1, 2]


async def test_an_error_of_a_task_is_not_swallowed(bench: Any) -> None:
    """Processors caught what went wrong, so that nothing was ever tried again."""
    tries: list[int] = []

    async def flaky(job: JobContext, payload: dict[str, Any]) -> str:
        tries.append(job.attempt)
        if job.attempt < 3:
            raise OSError("the mail server is away")
        return "sent"

    at = bench(flaky, retry={"attempts": 5, "backoff": "10ms"})
    await at.work()
    (ended,) = await at.ended(await at.jobs.enqueue("q", {}))
    assert (ended.status, ended.result, ended.attempts, tries) == ("completed", "sent", 3, [1, 2, 3])
    assert (await at.jobs.queue("q")).retried == 2


async def test_a_job_needs_no_type_that_nobody_writes(bench: Any) -> None:
    """Every sandbox job failed for want of a key that no producer set: here a payload is checked where it is put in."""

    async def execute(job: JobContext, payload: Code) -> str:
        return payload.code

    at = bench(execute)
    await at.work()
    with pytest.raises(Invalid) as refused:
        await at.jobs.enqueue("q", {"type": "sandbox"})
    assert refused.value.errors[0].pointer in ("/payload/code", "/payload/type")
    assert (await at.jobs.queue("q")).failed == 0
    (ended,) = await at.ended(await at.jobs.enqueue("q", {"code": "1 + 1"}))
    assert ended.result == "1 + 1"


async def test_a_poison_job_does_not_block_its_queue(bench: Any) -> None:
    async def task(job: JobContext, payload: dict[str, Any]) -> str:
        if payload.get("poison"):
            raise ValueError("always")
        return "fine"

    at = bench(task, concurrency=1, retry={"attempts": 1_000, "backoff": "1ms", "jitter": False})
    poison = await at.jobs.enqueue("q", {"poison": True})
    others = [await at.jobs.enqueue("q", {}) for _ in range(20)]
    await at.work()
    assert [job.result for job in await at.ended(*others)] == ["fine"] * 20
    assert (await at.jobs.get(poison.id)).status in ("queued", "scheduled", "running")
    await at.jobs.cancel(poison.id)
