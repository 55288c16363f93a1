"""Batches: all of their jobs are stored, or none."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Conflict, Invalid, NotFound, TooLarge
from runtime.services.jobs.ports import Draft

if TYPE_CHECKING:
    from runtime.storage.wire import WiredRedis


@dataclass
class Resize:
    image: str
    width: int = 100


async def resize(job: Any, payload: Resize) -> str:
    return payload.image


async def test_the_jobs_of_a_batch_are_stored_in_their_order_and_run(bench: Any) -> None:
    at = bench(resize, concurrency=20)
    jobs = await at.jobs.enqueue_all("q", [Draft({"image": str(number)}) for number in range(1_000)])
    assert [job.status for job in jobs] == ["queued"] * 1_000
    assert [job.id for job in jobs] == sorted({job.id for job in jobs})
    assert (await at.jobs.queue("q")).waiting == 1_000
    await at.work()
    assert [job.result for job in await at.ended(*jobs)] == [str(number) for number in range(1_000)]


async def test_each_job_of_a_batch_may_have_its_time(bench: Any) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    jobs = await bench(resize).jobs.enqueue_all(
        "q", [Draft({"image": "a"}, delay="1h"), Draft({"image": "b"}, run_at=soon), Draft({"image": "c"}, delay=0)]
    )
    assert [job.status for job in jobs] == ["scheduled", "scheduled", "queued"]


async def test_every_wrong_job_is_named_and_none_is_stored(bench: Any, client: WiredRedis) -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    with pytest.raises(Invalid) as refused:
        await bench(resize).jobs.enqueue_all(
            "q",
            [
                Draft({"image": "a"}, key="one"),
                Draft({"image": 7}),
                Draft({"image": "b", "widht": 3}),
                Draft({"image": "c"}, delay="soon"),
                Draft({"image": "d"}, run_at=past),
                Draft({"image": "e"}, key=""),
                Draft({"image": "f"}, key="one"),
            ],
        )
    assert [error.pointer for error in refused.value.errors] == [
        "/jobs/1/payload/image",
        "/jobs/2/payload/widht",
        "/jobs/3/delay",
        "/jobs/4/run_at",
        "/jobs/5/key",
        "/jobs/6/key",
    ]
    assert await client.keys() == []


async def test_a_batch_whose_key_is_taken_is_refused_whole(bench: Any) -> None:
    """The reference dropped a job silently when an earlier one of its id was still kept."""
    at = bench(resize)
    first = await at.jobs.enqueue("q", {"image": "a"}, key="ada")
    batch = [Draft({"image": "b"}, key="bob"), Draft({"image": "c"}, key="ada"), Draft({"image": "d"})]
    with pytest.raises(Conflict, match=f"{first.id}.*1 of the 3 jobs"):
        await at.jobs.enqueue_all("q", batch)
    assert (await at.jobs.queue("q")).waiting == 1
    await at.work()
    await at.ended(first)
    await at.ended(*await at.jobs.enqueue_all("q", batch))


async def test_of_batches_with_the_same_keys_one_is_stored(bench: Any) -> None:
    at = bench(resize)
    batches = [
        at.jobs.enqueue_all("q", [Draft({"image": "a"}, key=f"{(number + first) % 50}") for number in range(50)])
        for first in range(10)
    ]
    outcomes = await asyncio.gather(*batches, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict"] * 9 + ["list"]
    assert (await at.jobs.queue("q")).waiting == 50


@pytest.mark.parametrize("count", [0, 1_001])
async def test_a_batch_has_its_bounds(bench: Any, count: int) -> None:
    with pytest.raises(Invalid, match="1 to 1,000 jobs"):
        await bench(resize).jobs.enqueue_all("q", [Draft({"image": "a"})] * count)


async def test_a_batch_needs_its_queue_and_payloads_of_a_size(bench: Any) -> None:
    at = bench(resize)
    with pytest.raises(NotFound):
        await at.jobs.enqueue_all("qq", [Draft({"image": "a"})])
    with pytest.raises(TooLarge, match="/jobs/1: "):
        await at.jobs.enqueue_all("q", [Draft({"image": "a"}), Draft({"image": "x" * 1_000_001})])
    assert (await at.jobs.queue("q")).waiting == 0
