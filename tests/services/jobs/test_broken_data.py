"""Data in Redis that is not as it should be: what cannot be run is left out, and stops nobody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Invalid, NotFound
from runtime.services.events.ports import Announcement
from runtime.services.jobs.adapters.saq_queue import Claim
from runtime.services.jobs.claiming import Outcome
from runtime.services.jobs.limits import limits
from runtime.services.jobs.ports import Draft

if TYPE_CHECKING:
    from runtime.services.jobs.ports import JobContext
    from runtime.storage.wire import WiredRedis

BASE = "rt:test:{jobs.q}:"


async def note(job: JobContext, payload: dict[str, Any]) -> str:
    return "ran"


async def spoil(client: WiredRedis, job_id: str, how: str) -> None:
    key = f"{BASE}job:{job_id}"
    await client.delete(key)
    if how == "junk":
        await client.set(key, b"\x00junk")
    elif how == "list":
        await client.lpush(key, "junk")  # type: ignore[misc]
    elif how == "other JSON":
        await client.set(key, b"[1, 2]")


@pytest.mark.parametrize("how", ["junk", "list", "other JSON", "nothing"])
async def test_a_spoilt_record_is_left_out_and_holds_up_nobody(bench: Any, client: WiredRedis, how: str) -> None:
    at = bench(note, concurrency=1, groups={"concurrency": 1})
    spoilt = await at.jobs.submit("q", Draft({}, key="ada", group="red"))
    behind = await at.jobs.submit("q", Draft({}, group="red"))
    await spoil(client, spoilt.id, how)
    with pytest.raises(NotFound):
        await at.jobs.get(spoilt.id)
    await at.work()
    (ended,) = await at.ended(behind)
    assert ended.result == "ran"
    async with asyncio.timeout(5):
        while (await at.jobs.queue("q")).running:
            await asyncio.sleep(0.005)
    again = await at.jobs.submit("q", Draft({}, key="ada", group="red"))  # the key is free
    assert (await at.ended(again))[0].status == "completed"
    left = [key async for key in client.scan_iter(match=f"{BASE}*") if await client.ttl(key) == -1]
    assert not {f"{BASE}{name}".encode() for name in ("held", "place", "keys", "grouped")} & set(left)
    assert not [key for key in left if b":job:" in key]


async def test_a_spoilt_record_of_a_dead_worker_does_not_keep_its_other_jobs(bench: Any, client: WiredRedis) -> None:
    at = bench(note, max_stalled=0)
    lost, spoilt = await at.jobs.enqueue("q", {}), await at.jobs.enqueue("q", {})
    queue: Any = at.backend._queue("q")
    assert len((await queue.exchange(Claim("dead", "dead#1", 2, limits(at.specs["q"])), [], client)).claimed) == 2
    await client.zadd(f"{BASE}workers", {"dead": 1})
    await spoil(client, spoilt.id, "list")
    await at.work()
    (ended,) = await at.ended(lost)
    assert ended.error == "its worker died 1 times while it ran"
    async with asyncio.timeout(5):
        while await client.exists(f"{BASE}held"):
            await asyncio.sleep(0.005)


async def test_an_event_that_its_stream_does_not_take_keeps_no_job(bench: Any, client: WiredRedis) -> None:
    at = bench(note)
    worker = await at.work()
    await client.set("no-stream", "1")
    work = worker._executor._work

    async def announcing(claimed: Any) -> Any:
        await work(claimed)
        return Outcome("completed", result="ran", announced=[Announcement("no-stream", 10, ["name", "value"])])

    worker._executor._work = announcing
    (ended,) = await at.ended(await at.jobs.enqueue("q", {}))
    assert ended.result == "ran"


class WordlessError(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


async def test_whatever_a_task_says_its_job_ends(bench: Any) -> None:
    async def odd(job: JobContext, payload: dict[str, Any]) -> Any:
        from runtime.services.jobs.ports import Retry

        await job.progress(0.5, "half \ud800")
        match payload["kind"]:
            case "wordless":
                raise WordlessError
            case "surrogate error":
                raise ValueError("file \udcff")
            case "surrogate result":
                return "file \udcff"
            case "huge number":
                return 2**100
            case "retry of nothing":
                raise Retry("later", after=object())  # type: ignore[arg-type]
            case "saves a set":
                await job.save({1, 2})
        return "fine"

    at = bench(odd, retry={"attempts": 1})
    worker = await at.work()
    wanted = {
        "wordless": "failed",
        "surrogate error": "failed",
        "surrogate result": "failed",
        "huge number": "completed",
        "retry of nothing": "failed",
        "saves a set": "failed",
        "": "completed",
    }
    ended = await at.ended(*[await at.jobs.enqueue("q", {"kind": kind}) for kind in wanted])
    assert dict(zip(wanted, [job.status for job in ended], strict=True)) == wanted
    assert ended[1].error == "ValueError: file \\udcff"
    assert ended[3].result == 2**100
    assert ended[0].message == "half \\ud800"
    async with asyncio.timeout(5):
        while worker._claimer.activity.running:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("name", ["key", "group", "owner", "once"])
async def test_a_name_that_is_no_text_is_refused(bench: Any, client: WiredRedis, name: str) -> None:
    wrong: Any = {name: "half \ud800"}
    with pytest.raises(Invalid) as refused:
        await bench(note).jobs.submit("q", Draft({}, **wrong))
    assert refused.value.errors[0].pointer == f"/{name}"
    assert await client.keys() == []


async def test_a_window_below_a_millisecond_stores_the_whole_batch(bench: Any) -> None:
    at = bench(note)
    drafts = [Draft({}), Draft({}, key="ada", on_duplicate="throttle", window="0.5ms"), Draft({})]
    await at.jobs.enqueue_all("q", drafts)
    assert (await at.jobs.queue("q")).waiting == 3
