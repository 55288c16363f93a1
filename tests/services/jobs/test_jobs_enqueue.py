"""What may be put into a queue, and what is refused."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import msgspec
import pydantic
import pytest

from runtime.errors import Conflict, Fault, Invalid, NotBuilt, NotFound, TooLarge, Unreachable
from runtime.plugins import Registry
from runtime.services.jobs.service import JobQueues

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.storage.wire import WiredRedis


@dataclasses.dataclass
class Plain:
    image: str
    width: int = 1


class Struct(msgspec.Struct, forbid_unknown_fields=True):
    image: str
    width: Annotated[int, msgspec.Meta(gt=0)] = 1


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    image: str
    width: int = pydantic.Field(default=1, gt=0)


class Typed(TypedDict):
    image: str


async def plain(job: Any, payload: Plain) -> None: ...
async def struct(job: Any, payload: Struct) -> None: ...
async def model(job: Any, payload: Model) -> None: ...
async def typed(job: Any, payload: Typed) -> None: ...
async def untyped(job: Any, payload) -> None: ...  # type: ignore[no-untyped-def]


@pytest.mark.parametrize("task", [plain, struct, model, typed])
async def test_a_payload_that_does_not_fit_is_refused_with_pointers(bench: Any, task: Any, client: WiredRedis) -> None:
    at = bench(task)
    with pytest.raises(Invalid) as refused:
        await at.jobs.enqueue("q", {"image": 7})
    assert "/payload/image" in [error.pointer for error in refused.value.errors]
    with pytest.raises(Invalid):
        await at.jobs.enqueue("q", {})
    assert await client.keys() == []  # nothing is half enqueued
    await at.jobs.enqueue("q", {"image": "a"})


@pytest.mark.parametrize("task", [plain, struct, model])
async def test_an_unknown_field_is_refused(bench: Any, task: Any) -> None:
    with pytest.raises(Invalid, match=r"widht|Extra|unknown"):
        await bench(task).jobs.enqueue("q", {"image": "a", "widht": 3})


async def test_a_task_without_a_type_takes_any_object(bench: Any) -> None:
    assert (await bench(untyped).jobs.enqueue("q", {"any": [1, {"x": None}]})).status == "queued"


async def test_a_task_must_take_a_job_and_a_payload(bench: Any) -> None:
    async def one(job: Any) -> None: ...

    with pytest.raises(Fault, match="takes the job and its payload"):
        bench(one)


async def test_a_type_that_cannot_be_found_is_named(bench: Any) -> None:
    async def lost(job: Any, payload: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(Fault, match="'Missing' is not defined"):
        bench(lost)


async def test_a_schema_file_is_checked_besides_the_type(bench: Any, tmp_path: Path) -> None:
    schema = tmp_path / "resize.json"
    schema.write_text('{"type": "object", "properties": {"width": {"maximum": 10}}, "required": ["width"]}')
    at = bench(plain, payload=str(schema))
    with pytest.raises(Invalid) as refused:
        await at.jobs.enqueue("q", {"image": "a", "width": 11})
    assert refused.value.errors[0].pointer == "/payload/width"
    schema.write_text("{")
    with pytest.raises(Fault, match="is no JSON"):
        bench(plain, payload=str(schema))


async def test_unknown_queues_are_refused_with_the_nearest(bench: Any) -> None:
    with pytest.raises(NotFound) as refused:
        await bench(plain).jobs.enqueue("qq", {})
    assert refused.value.remedy == 'Did you mean "q"?'


async def test_a_queue_whose_task_is_not_built_takes_nothing(bench: Any) -> None:
    at = bench(plain)
    jobs = JobQueues(at.specs, Registry(), at.backend)
    with pytest.raises(NotBuilt, match='the handler "t" of the queue "q"'):
        await jobs.enqueue("q", {"image": "a"})
    assert (await jobs.queue("q")).built is False


@pytest.mark.parametrize(
    ("payload", "refusal"),
    [
        ({"x": "y" * 2_000_000}, TooLarge),
        ({"x": math.nan}, Invalid),
        ({"x": "\ud800"}, Invalid),
        ({"x": {1}}, Invalid),
    ],
)
async def test_what_is_no_json_or_too_large_is_refused(bench: Any, payload: Any, refusal: type[Fault]) -> None:
    with pytest.raises(refusal):
        await bench(untyped).jobs.enqueue("q", payload)


@pytest.mark.parametrize("delay", [-1, math.nan, math.inf, 10**9])
async def test_a_delay_out_of_reach_is_refused(bench: Any, delay: float) -> None:
    with pytest.raises(Invalid):
        await bench(untyped).jobs.enqueue("q", {}, delay=delay)


async def test_a_key_is_taken_until_its_job_has_ended(bench: Any) -> None:
    """The reference dropped a job silently when an earlier one of its id was still kept."""
    at = bench(untyped)
    first = await at.jobs.enqueue("q", {}, key="reset ada")
    with pytest.raises(Conflict, match=first.id):
        await at.jobs.enqueue("q", {}, key="reset ada")
    await at.jobs.enqueue("q", {}, key="reset bob")
    with pytest.raises(Invalid):
        await at.jobs.enqueue("q", {}, key="")
    await at.work()
    await at.ended(first)
    second = await at.jobs.enqueue("q", {}, key="reset ada")
    assert second.id != first.id
    await at.ended(second)


async def test_ids_sort_by_time(bench: Any) -> None:
    at = bench(untyped)
    ids = [(await at.jobs.enqueue("q", {})).id for _ in range(20)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 20


@pytest.mark.parametrize("id_", ["q.unknown", "nosuch.0abc", "q", "", "q.\0", "../../q"])
async def test_an_unknown_job_is_not_found(bench: Any, id_: str) -> None:
    with pytest.raises(NotFound):
        await bench(untyped).jobs.get(id_)


async def test_ended_jobs_expire_and_only_so_many_are_kept(bench: Any, client: WiredRedis) -> None:
    async def some(job: Any, payload: dict[str, Any]) -> None:
        if payload.get("fail"):
            raise ValueError

    at = bench(some, result_ttl="1h", keep=2, dead_letter={"ttl": "2h"}, retry={"attempts": 1})
    await at.work()
    done: list[str] = []
    for _ in range(4):
        (ended,) = await at.ended(await at.jobs.enqueue("q", {}))
        done.append(ended.id)
    (failed,) = await at.ended(await at.jobs.enqueue("q", {"fail": True}))
    for id_ in done[:2]:
        with pytest.raises(NotFound):
            await at.jobs.get(id_)
    ttls = {key.decode().rpartition(":")[2]: await client.ttl(key) for key in await client.keys("*:job:*")}
    assert set(ttls) == {*done[2:], failed.id}
    assert all(0 < ttl <= (7200 if id_ == failed.id else 3600) for id_, ttl in ttls.items())


async def test_no_answer_from_redis_is_said_at_once(bench: Any, mortal_server: Any) -> None:
    client = mortal_server.client()
    at = bench(untyped, over=client)
    await at.jobs.enqueue("q", {})
    mortal_server.kill()
    with pytest.raises(Unreachable, match="cannot reach"):
        await at.jobs.enqueue("q", {})
    await client.aclose()
