"""Jobs of one key: what each policy does, and that nothing vanishes in silence."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Conflict, Invalid
from runtime.services.jobs.ports import Draft

if TYPE_CHECKING:
    from runtime.services.jobs.ports import JobContext


class Ran:
    def __init__(self) -> None:
        self.payloads: list[Any] = []
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def task(self, job: JobContext, payload: dict[str, Any]) -> None:
        self.payloads.append(payload.get("n"))
        if payload.get("waits"):
            self.begun.set()
            await self.go.wait()


async def test_replace_gives_the_payload_to_the_job_that_waits(bench: Any) -> None:
    ran = Ran()
    at = bench(ran.task, dedupe={"policy": "replace"})
    first = await at.jobs.submit("q", Draft({"n": 1}, key="ada"))
    second = await at.jobs.submit("q", Draft({"n": 2}, key="ada"))
    third = await at.jobs.submit("q", Draft({"n": 3}, key="ada"))
    assert (first.duplicate, second.duplicate, third.duplicate) == (None, "replaced", "replaced")
    assert first.id == second.id == third.id
    assert (await at.jobs.queue("q")).waiting == 1
    await at.work()
    await at.ended(first)
    assert ran.payloads == [3]
    assert (await at.jobs.submit("q", Draft({"n": 4}, key="ada"))).duplicate is None


async def test_replace_beside_a_running_job_stores_another(bench: Any) -> None:
    ran = Ran()
    at = bench(ran.task)
    await at.work()
    first = await at.jobs.submit("q", Draft({"n": 1, "waits": True}, key="ada"))
    await ran.begun.wait()
    with pytest.raises(Conflict):
        await at.jobs.submit("q", Draft({"n": 0}, key="ada"))
    second = await at.jobs.submit("q", Draft({"n": 2}, key="ada", on_duplicate="replace", delay=0.1))
    assert (second.duplicate, second.id == first.id) == (None, False)
    third = await at.jobs.submit("q", Draft({"n": 3}, key="ada", on_duplicate="replace"))
    assert (third.duplicate, third.id) == ("replaced", second.id)
    ran.go.set()
    await at.ended(first, second)
    assert ran.payloads == [1, 3]
    await at.jobs.submit("q", Draft({"n": 4}, key="ada"))  # the key is free


async def test_debounce_waits_until_it_is_quiet(bench: Any) -> None:
    ran = Ran()
    at = bench(ran.task, dedupe={"policy": "debounce", "window": "300ms"})
    await at.work()
    jobs = []
    for number in range(5):
        jobs.append(await at.jobs.submit("q", Draft({"n": number}, key="ada")))
        await asyncio.sleep(0.03)
    assert {job.id for job in jobs} == {jobs[0].id}
    assert [job.duplicate for job in jobs] == [None, *["replaced"] * 4]
    assert ran.payloads == []
    await at.ended(jobs[0])
    assert ran.payloads == [4]


async def test_throttle_lets_the_first_stand_for_the_others(bench: Any) -> None:
    ran = Ran()
    at = bench(ran.task, dedupe={"policy": "throttle", "window": "400ms"})
    await at.work()
    jobs = [await at.jobs.submit("q", Draft({"n": number}, key="ada")) for number in range(4)]
    assert [job.duplicate for job in jobs] == [None, "throttled", "throttled", "throttled"]
    assert {job.id for job in jobs} == {jobs[0].id}
    await at.ended(jobs[0])
    await asyncio.sleep(0.45)
    again = await at.jobs.submit("q", Draft({"n": 9}, key="ada"))
    assert again.duplicate is None
    await at.ended(again)
    assert ran.payloads == [0, 9]


async def test_a_second_reset_mail_is_not_lost_in_silence(bench: Any) -> None:
    """The reference added a job under a kept id: it was dropped without a word, for a day."""
    ran = Ran()
    at = bench(ran.task)
    await at.work()
    for number in range(3):
        job = await at.jobs.enqueue("q", {"n": number}, key="reset:ada")
        await at.ended(job)
    assert ran.payloads == [0, 1, 2]


@pytest.mark.parametrize(
    ("draft", "pointer"),
    [
        (Draft({}, on_duplicate="replace"), "/key"),
        (Draft({}, key="a", on_duplicate="debounce"), "/window"),
        (Draft({}, key="a", on_duplicate="throttle", window="soon"), "/window"),
        (Draft({}, key=""), "/key"),
        (Draft({}, group=""), "/group"),
        (Draft({}, owner="x" * 201), "/owner"),
        (Draft({}, timeout="0s"), "/timeout"),
        (Draft({}, timeout="long"), "/timeout"),
        (Draft({}, attempts=0), "/retry/attempts"),
        (Draft({}, backoff=-1.0), "/retry/backoff"),
        (Draft({}, children=[Draft({}, priority=99999)]), "/children/0/priority"),
    ],
)
async def test_a_wrong_option_is_named_and_nothing_is_stored(bench: Any, draft: Draft, pointer: str) -> None:
    at = bench(Ran().task)
    with pytest.raises(Invalid) as refused:
        await at.jobs.submit("q", draft)
    assert refused.value.errors[0].pointer == pointer
    view = await at.jobs.queue("q")
    assert (view.waiting, view.scheduled, view.blocked) == (0, 0, 0)
