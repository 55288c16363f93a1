"""What becomes of a job: results, tries, limits, and what its task can do to others."""

from __future__ import annotations

import asyncio
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Fault
from runtime.services.jobs.ports import Reject, Retry

if TYPE_CHECKING:
    from runtime.services.jobs.ports import JobContext
    from runtime.storage.wire import WiredRedis


@dataclass
class Resize:
    image: str
    width: int = 100


async def test_a_job_gets_its_typed_payload_and_keeps_its_result(bench: Any) -> None:
    seen: list[Any] = []

    async def resize(job: JobContext, payload: Resize) -> Resize:
        seen.append((job.id, job.queue, job.attempt, payload))
        await job.progress(0.5, "halfway")
        return payload

    at = bench(resize)
    job = await at.jobs.enqueue("q", {"image": "a.png"})
    assert (job.status, job.attempts, job.max_attempts) == ("queued", 0, 5)
    assert job.id.startswith("q.")
    await at.work()
    (ended,) = await at.ended(job)
    assert seen == [(job.id, "q", 1, Resize("a.png", 100))]
    assert (ended.status, ended.result, ended.progress) == (
        "completed",
        {"image": "a.png", "width": 100},
        1.0,
    )
    assert ended.started_at is not None
    assert ended.finished_at is not None
    assert ended.enqueued_at <= ended.started_at <= ended.finished_at


async def test_a_plain_function_runs_in_a_thread_and_may_use_its_job(bench: Any) -> None:
    def scan(job: Any, payload: dict[str, Any]) -> str:
        job.wait(job.progress(0.25))
        return threading.current_thread().name

    at = bench(scan)
    await at.work()
    (ended,) = await at.ended(await at.jobs.enqueue("q", {}))
    assert ended.result == "t"


async def test_a_failing_job_is_tried_as_often_as_its_queue_says(bench: Any) -> None:
    """The reference swallowed errors, so that nothing was ever retried."""
    tries: list[int] = []

    async def fail(job: JobContext, payload: dict[str, Any]) -> None:
        tries.append(job.attempt)
        raise ValueError(f"no {job.attempt}")

    at = bench(fail, retry={"attempts": 3, "backoff": "10ms"})
    await at.work()
    (ended,) = await at.ended(await at.jobs.enqueue("q", {}))
    assert tries == [1, 2, 3]
    assert (ended.status, ended.error, ended.attempts) == ("failed", "ValueError: no 3", 3)
    view = await at.jobs.queue("q")
    assert (view.failed, view.retried, view.dead, view.completed) == (1, 2, 1, 0)


async def test_a_job_that_fails_once_succeeds_at_the_next_try(bench: Any) -> None:
    async def flaky(job: JobContext, payload: dict[str, Any]) -> int:
        if job.attempt == 1:
            raise Retry("not yet", after="30ms")
        return job.attempt

    at = bench(flaky, retry={"attempts": 2, "backoff": "1h"})
    await at.work()
    (ended,) = await at.ended(await at.jobs.enqueue("q", {}))
    assert (ended.status, ended.result, ended.error) == ("completed", 2, None)


async def test_a_rejected_job_is_not_tried_again(bench: Any) -> None:
    async def reject(job: JobContext, payload: dict[str, Any]) -> None:
        raise Reject("no such image")

    at = bench(reject)
    await at.work()
    (ended,) = await at.ended(await at.jobs.enqueue("q", {}))
    assert (ended.status, ended.attempts, ended.error) == ("failed", 1, "no such image")


async def test_the_time_limit_is_real(bench: Any) -> None:
    """The reference passed a limit that its library ignored."""
    cancelled = asyncio.Event()

    async def slow(job: JobContext, payload: dict[str, Any]) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    at = bench(slow, timeout="50ms", retry={"attempts": 1})
    await at.work()
    (ended,) = await at.ended(await at.jobs.enqueue("q", {}))
    assert (ended.status, ended.error) == ("failed", "it took longer than 0.05 s")
    assert cancelled.is_set()


async def test_a_thread_without_an_end_gives_its_place_back(bench: Any) -> None:
    over = threading.Event()

    def stuck(job: JobContext, payload: dict[str, Any]) -> str:
        if payload.get("stuck"):
            over.wait(30)
        return "ok"

    at = bench(stuck, timeout="50ms", concurrency=1, retry={"attempts": 1})
    await at.work()
    first, second = await at.jobs.enqueue("q", {"stuck": True}), await at.jobs.enqueue("q", {})
    bad, good = await at.ended(first, second)
    over.set()
    assert (bad.status, good.status) == ("failed", "completed")
    assert "did not end when told to" in bad.error


class Escape(BaseException):
    """What a task should never raise."""


async def test_what_a_task_raises_harms_no_other_job(bench: Any) -> None:
    async def wild(job: JobContext, payload: dict[str, Any]) -> str:
        match payload.get("kind"):
            case "exit":
                sys.exit(3)
            case "interrupt":
                raise KeyboardInterrupt
            case "base":
                raise Escape("out")
            case "cancel":
                raise asyncio.CancelledError
            case "cancel me":
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.sleep(1)
        await asyncio.sleep(0.01)
        return "fine"

    at = bench(wild, concurrency=3, retry={"attempts": 1})
    worker = await at.work()
    kinds = ["exit", None, "interrupt", "base", None, "cancel", "cancel me", None]
    jobs = [await at.jobs.enqueue("q", {"kind": kind}) for kind in kinds]
    ended = await at.ended(*jobs)
    assert [job.status for job in ended] == ["completed" if kind is None else "failed" for kind in kinds]
    assert [job.error.split(":")[0] for job in ended if job.error] == [
        "SystemExit",
        "KeyboardInterrupt",
        "Escape",
        "CancelledError",
        "CancelledError",
    ]
    health = await worker.health()
    assert (health.status, health.reason) == ("degraded", "5 jobs have failed for good (more than 0)")


async def test_a_result_that_cannot_be_kept_fails_the_job_without_a_further_try(bench: Any) -> None:
    async def odd(job: JobContext, payload: dict[str, Any]) -> Any:
        return "x" * 2_000_000 if payload.get("big") else object()

    at = bench(odd)
    await at.work()
    bad, big = await at.ended(await at.jobs.enqueue("q", {}), await at.jobs.enqueue("q", {"big": True}))
    assert (bad.status, bad.attempts) == ("failed", 1)
    assert "result cannot be kept" in bad.error
    assert "2,000,002 bytes" in big.error


async def test_a_payload_that_its_task_takes_no_more_goes_to_the_dead_letters(bench: Any, client: WiredRedis) -> None:
    async def loose(job: JobContext, payload: dict[str, Any]) -> None: ...

    async def strict(job: JobContext, payload: Resize) -> None: ...

    job = await bench(loose).jobs.enqueue("q", {"image": 1})
    at = bench(strict)
    await at.work()
    (ended,) = await at.ended(job)
    assert (ended.status, ended.attempts) == ("failed", 1)
    assert "the payload is no Resize" in ended.error


async def test_delayed_jobs_wait_and_are_shown_as_scheduled(bench: Any) -> None:
    order: list[str] = []

    async def note(job: JobContext, payload: dict[str, Any]) -> None:
        order.append(payload["name"])

    at = bench(note)
    late = await at.jobs.enqueue("q", {"name": "late"}, delay=0.2)
    soon = await at.jobs.enqueue("q", {"name": "soon"})
    assert (late.status, soon.status) == ("scheduled", "queued")
    view = await at.jobs.queue("q")
    assert (view.waiting, view.scheduled) == (1, 1)
    await at.work()
    await at.ended(late, soon)
    assert order == ["soon", "late"]


async def test_concurrency_changes_while_it_runs(bench: Any) -> None:
    running, most = 0, 0
    going = asyncio.Event()

    async def busy(job: JobContext, payload: dict[str, Any]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await going.wait()
        running -= 1

    at = bench(busy, concurrency=2)
    worker = await at.work()
    jobs = [await at.jobs.enqueue("q", {}) for _ in range(8)]

    async def until(count: int) -> None:
        async with asyncio.timeout(5):
            while (await worker.health()).details["running"] != count:
                await asyncio.sleep(0.005)

    await until(2)
    await worker.update({"concurrency": 5})
    await until(5)
    assert (await at.jobs.queue("q")).concurrency == 5
    async with asyncio.timeout(5):
        while most < 5:  # a claimed job has not begun yet
            await asyncio.sleep(0.005)
    assert most == 5
    await worker.update({"concurrency": {"min": 1, "max": 1000}})
    await until(8)
    going.set()
    await at.ended(*jobs)


async def test_a_task_enqueues_and_publishes(bench: Any) -> None:
    async def parent(job: JobContext, payload: dict[str, Any]) -> str | None:
        if payload.get("child"):
            return None
        return (await job.enqueue("q", {"child": True})).id

    at = bench(parent)
    await at.work()
    (ended,) = await at.ended(await at.jobs.enqueue("q", {}))
    assert (await at.ended(await at.jobs.get(ended.result)))[0].status == "completed"


async def test_a_worker_of_which_a_part_has_broken_says_so(bench: Any) -> None:
    """Whoever supervises it starts it again."""

    async def nothing(job: JobContext, payload: dict[str, Any]) -> None: ...

    async def broken() -> None:
        raise ArithmeticError("a part of the worker")

    at = bench(nothing)
    worker = await at.work()
    watching = asyncio.create_task(worker.watch())
    await asyncio.sleep(0)
    assert not watching.done()
    watching.cancel()
    worker._loops.append(asyncio.create_task(broken()))
    with pytest.raises(ArithmeticError):
        async with asyncio.timeout(5):
            await worker.watch()
    worker._loops.pop()


async def test_a_limit_of_memory_needs_a_process(bench: Any) -> None:
    async def task(job: JobContext, payload: dict[str, Any]) -> None: ...

    at = bench(task, memory="100MB")
    with pytest.raises(Fault, match="process=True"):
        await at.work()
