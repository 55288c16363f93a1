"""Programs outside of an environment put jobs into its queues: `Client` and `SyncClient`, over real HTTP."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import runtime
from runtime import Client, Draft, SyncClient
from runtime.errors import (
    Conflict,
    Fault,
    Forbidden,
    Invalid,
    NotBuilt,
    NotFound,
    TooLarge,
    TooMany,
    Unauthenticated,
    UsageFault,
)
from runtime.testing import RunningEnvironment, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

TASKS = """
import asyncio
from dataclasses import dataclass
from runtime import Reject, task

@dataclass
class Size:
    width: int
    name: str = ""

@task("resize")
async def resize(job, payload: Size):
    if payload.name == "endless":
        await asyncio.sleep(3600)
    if payload.name == "wrong":
        raise Reject("it was told to")
    return {"width": payload.width * 2, "group": payload.name}
"""


@dataclass
class Size:
    width: int
    name: str = ""


class InThreads:
    """A `SyncClient` with the calls of `Client`."""

    def __init__(self, client: SyncClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args, **options: asyncio.to_thread(getattr(self._client, name), *args, **options)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEnvironment]:
    folder = tmp_path_factory.mktemp("client")
    (folder / "spec.yaml").write_text(
        "version: 1\nname: client\nplugins: [client_tasks]\napi: {rate_limit: 100000/m}\nauth: {}\n"
        "queues:\n  images: {handler: resize}\n  absent: {handler: routines.run}\n"
    )
    (folder / "client_tasks.py").write_text(TASKS)
    with running(folder / "spec.yaml") as environment:
        yield environment


@pytest.fixture(scope="module")
def spec(environment: RunningEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec that names the state folder of the environment."""
    file = tmp_path_factory.mktemp("spec") / "spec.yaml"
    file.write_text(f"version: 1\nname: client\nstorage: {{path: {environment.state.path}}}\n")
    return file


@pytest.fixture(params=["async", "sync"])
async def client(spec: Path, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    if request.param == "async":
        async with Client(spec) as client:
            yield client
    else:
        with SyncClient(spec) as plain:
            yield InThreads(plain)


async def test_a_job_is_put_in_and_awaited(client: Any) -> None:
    job = await client.enqueue("images", {"width": 4})
    assert (job.status, job.duplicate) == ("queued", None)
    ended = await client.wait(job.id, timeout=10)
    assert (ended.status, ended.result, ended.attempts) == ("completed", {"width": 8, "group": ""}, 1)
    assert (await client.job(job.id)) == ended
    typed = await client.enqueue("images", Size(1, "ada"), group="ada", owner="ada", priority=3, timeout=30, attempts=1)
    assert (await client.wait(typed.id)).result == {"width": 2, "group": "ada"}


async def test_options_arrive(client: Any) -> None:
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    due = await client.enqueue("images", {"width": 1}, run_at=later, key="ada", attempts=7, backoff=0.5, marks=[])
    view = await client.job(due.id)
    assert (view.status, view.due_at, view.max_attempts) == ("scheduled", later, 7)
    again = await client.enqueue("images", {"width": 2}, key="ada", on_duplicate="debounce", window="1m")
    assert (again.id, again.duplicate) == (due.id, "replaced")
    with pytest.raises(Conflict, match=due.id):
        await client.enqueue("images", {"width": 1}, key="ada")
    assert (await client.cancel(due.id)).status == "cancelled"
    child = Draft({"width": 1}, delay=0.01)
    parent = await client.enqueue("images", {"width": 3}, children=[child, child])
    assert parent.status == "blocked"
    assert len((await client.wait(parent.id, timeout=10)).children) == 2


async def test_a_batch_is_stored_whole_or_not_at_all(client: Any) -> None:
    jobs = await client.enqueue_all("images", [{"width": 1}, Size(2), Draft({"width": 3}, delay="1h")])
    assert [job.status for job in jobs] == ["queued", "queued", "scheduled"]
    with pytest.raises(Invalid) as refused:
        await client.enqueue_all("images", [{"width": 1}, {"width": "x"}, Draft({"width": 1}, priority=9_999)])
    assert [place.pointer for place in refused.value.errors] == ["/jobs/1/payload/width", "/jobs/2/priority"]
    with pytest.raises(Invalid, match="1 to 1,000"):
        await client.enqueue_all("images", [])


async def test_failed_jobs_are_seen_and_tried_again(client: Any) -> None:
    job = await client.enqueue("images", {"width": 1, "name": "wrong"})
    assert (await client.wait(job.id)).error == "it was told to"
    assert (await client.retry(job.id)).status in ("queued", "running", "failed")
    assert (await client.wait(job.id)).status == "failed"
    with pytest.raises(Conflict, match="has ended, it is failed"):
        await client.cancel(job.id)


async def test_waiting_has_an_end(client: Any) -> None:
    job = await client.enqueue("images", {"width": 1, "name": "endless"})
    with pytest.raises(TimeoutError):
        await client.wait(job.id, timeout=0.2)
    await client.cancel(job.id)
    assert (await client.wait(job.id, timeout=10)).status == "cancelled"
    with pytest.raises(NotFound, match="no job"):
        await client.wait("images.none")


WRONG: list[tuple[str, Any, dict[str, Any], type[Fault], str | None, str]] = [
    ("images", {"width": "x"}, {}, Invalid, "/payload/width", "Expected `int`, got `str`"),
    ("images", {"widht": 1}, {}, Invalid, "/payload/widht", 'no field "widht"'),
    ("images", {"width": float("nan")}, {}, Invalid, "/payload", "no JSON"),
    ("images", {"width": object()}, {}, Invalid, "/payload", "no JSON"),
    ("images", [1], {}, Invalid, "/payload", "no JSON object"),
    ("images", {"width": 1}, {"priority": 9_999}, Invalid, "/priority", "from -2000 to 2000"),
    ("images", {"width": 1}, {"delay": "soon"}, Invalid, "/delay", "no duration"),
    ("images", {"width": 1}, {"delay": -1}, Invalid, "/delay", "no duration"),
    ("images", {"width": 1}, {"run_at": datetime(2020, 1, 1, tzinfo=UTC)}, Invalid, "/run_at", "past"),
    ("images", {"width": 1}, {"children": [Draft({"width": "x"})]}, Invalid, "/children/0/payload/width", "int"),
    ("image", {"width": 1}, {}, NotFound, None, 'Did you mean "images"'),
    ("images/../x", {"width": 1}, {}, NotFound, None, "nothing at this address"),
    ("absent", {}, {}, NotBuilt, None, '"routines.run"'),
    ("images", {"width": 1, "name": "x" * 2_000_000}, {}, TooLarge, None, "at most 1,000,000"),
]


async def test_what_is_wrong_is_refused_where_it_stands(client: Any) -> None:
    for queue, payload, options, fault, pointer, said in WRONG:
        with pytest.raises(fault) as refused:
            await client.enqueue(queue, payload, **options)
        assert said in str(refused.value), (queue, options)
        if isinstance(refused.value, Invalid):
            assert pointer in [place.pointer for place in refused.value.errors], (queue, options)


async def test_an_api_key_and_an_address(environment: RunningEnvironment) -> None:
    def key(**wanted: Any) -> str:
        made = environment.post("/v1/api-keys", {"name": "shop", **wanted})
        assert made.status == 201, made.body
        return str(made.body["key"])

    address: dict[str, Any] = {"url": environment.url + "/"}
    job = await runtime.enqueue("images", {"width": 1}, **address, api_key=key(scopes=["jobs:write"]), group="red")
    with SyncClient(**address, api_key=key(scopes=["jobs:read"])) as reader:
        assert await asyncio.to_thread(lambda: reader.job(job.id).group) == "red"
        with pytest.raises(Forbidden, match="jobs:write"):
            await asyncio.to_thread(reader.enqueue, "images", {"width": 1})
    async with Client(**address, api_key=key(scopes=["jobs:read", "jobs:write"], rate="2/h")) as slow:
        await slow.job(job.id)
        await slow.job(job.id)
        with pytest.raises(TooMany, match="enqueue_all") as refused:
            await slow.enqueue("images", {"width": 1})
        assert refused.value.retry_after > 0
    with pytest.raises(Unauthenticated) as unknown:
        await runtime.enqueue("images", {"width": 1}, **address, api_key="rt_wrong")
    assert "rt_wrong" not in str(unknown.value)


async def test_the_surroundings_may_say_which_environment(
    environment: RunningEnvironment, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RUNTIME_SPEC", "RUNTIME_URL", "RUNTIME_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageFault, match="RUNTIME_SPEC"):
        Client()
    with pytest.raises(UsageFault, match="the key"):
        SyncClient(url=environment.url)
    with pytest.raises(UsageFault, match="two environments"):
        Client(spec, url=environment.url)
    with pytest.raises(UsageFault, match="https"):
        Client(url="localhost:8080", api_key="rt_x")
    monkeypatch.setenv("RUNTIME_SPEC", str(spec))
    assert (await runtime.enqueue("images", {"width": 1})).status == "queued"
    monkeypatch.setenv("RUNTIME_URL", environment.url)
    monkeypatch.setenv("RUNTIME_API_KEY", environment.key)
    assert (await asyncio.to_thread(runtime.enqueue_sync, "images", {"width": 1})).status == "queued"


def test_a_forked_process_has_connections_of_its_own(spec: Path) -> None:
    """As web servers fork their workers: two processes on one connection would read each other's answers."""
    with SyncClient(spec) as client:
        mine = client.enqueue("images", {"width": 1})
        pool = client._pool
        child = os.fork()
        if child == 0:
            code = 1
            try:
                its = client.wait(client.enqueue("images", {"width": 21}).id, timeout=10)
                code = 0 if its.result["width"] == 42 and client._pool is not pool else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert client.wait(mine.id, timeout=10).result["width"] == 2


def test_many_threads_share_a_client(spec: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with SyncClient(spec) as client, ThreadPoolExecutor(16) as threads:
        jobs = list(threads.map(lambda width: client.enqueue("images", {"width": width}), range(200)))
        ended = list(threads.map(lambda job: client.wait(job.id, timeout=20), jobs))
    assert [view.result["width"] for view in ended] == [2 * width for width in range(200)]
