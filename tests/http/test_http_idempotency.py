"""`Idempotency-Key`: a write that is sent again is not done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import anyio
import pytest
from redis.asyncio import Redis

from runtime.errors import Unreachable
from runtime.http import idempotency
from runtime.http.access import Caller
from runtime.storage.cache import MemoryCache, RedisCache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from runtime.storage.ports import Cache
    from tests.http.conftest import Bench
    from tests.valkey import ValkeyServer

KEY = {"Idempotency-Key": "k-1"}


@pytest.fixture(params=["memory", "redis"])
async def cache(request: pytest.FixtureRequest, valkey: ValkeyServer) -> AsyncIterator[Cache]:
    if request.param == "memory":
        yield MemoryCache()
        return
    client = Redis(unix_socket_path=str(valkey.path))
    yield RedisCache(client, f"rt:{uuid4().hex}:")
    await client.aclose()


@pytest.fixture
async def keyed(bench: Bench, cache: Cache) -> AsyncIterator[httpx.AsyncClient]:
    async with bench.client(bench.api({"rate_limit": "100000/s"}, cache=cache)) as client:
        yield client


async def test_the_same_request_gets_the_first_answer(bench: Bench, keyed: httpx.AsyncClient) -> None:
    first = await keyed.post("/v1/things", json={"name": "a"}, headers=KEY)
    again = await keyed.post("/v1/things", json={"name": "a"}, headers=KEY)
    assert first.status_code == again.status_code == 202
    assert first.content == again.content
    assert first.headers["content-type"] == again.headers["content-type"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert bench.done.made == ["a"]


async def test_another_body_path_or_query_is_409(bench: Bench, keyed: httpx.AsyncClient) -> None:
    await keyed.put("/v1/things/1", json={"name": "a"}, headers=KEY)
    for method, path, body in (
        ("PUT", "/v1/things/1", {"name": "b"}),
        ("PUT", "/v1/things/2", {"name": "a"}),
        ("PUT", "/v1/things/1?x=1", {"name": "a"}),
        ("POST", "/v1/things", {"name": "a"}),
    ):
        answer = await keyed.request(method, path, json=body, headers=KEY)
        assert answer.status_code == 409, path
        assert answer.json()["type"] == "/docs#conflict"
    assert bench.done.made == []


async def test_another_caller_has_keys_of_its_own(bench: Bench, keyed: httpx.AsyncClient) -> None:
    bench.keys.others["other"] = Caller("key:other", frozenset({"things:write"}))
    await keyed.post("/v1/things", json={"name": "a"}, headers=KEY)
    other = await keyed.post("/v1/things", json={"name": "b"}, headers={**KEY, "Authorization": "Bearer other"})
    assert other.status_code == 202
    assert bench.done.made == ["a", "b"]


async def test_a_refusal_is_kept_and_a_crash_is_not(bench: Bench, keyed: httpx.AsyncClient) -> None:
    for kind, times in (("conflict", 1), ("bug", 3), ("away", 3), ("busy", 3)):
        for _ in range(3):
            await keyed.post(f"/v1/things/wrong/{kind}", headers={"Idempotency-Key": kind})
        assert bench.done.made.count(kind) == times, kind


async def test_while_the_first_one_runs_it_is_409(bench: Bench, keyed: httpx.AsyncClient) -> None:
    first: list[httpx.Response] = []

    async def post() -> None:
        first.append(await keyed.post("/v1/things/slow", headers=KEY))

    async with anyio.create_task_group() as group:
        group.start_soon(post)
        await bench.done.entered.wait()
        second = await keyed.post("/v1/things/slow", headers=KEY)
        assert second.status_code == 409
        assert int(second.headers["retry-after"]) >= 1
        assert second.json()["type"] == "/docs#in-progress"
        bench.done.gate.set()
    assert first[0].status_code == 201
    replayed = await keyed.post("/v1/things/slow", headers=KEY)
    assert (replayed.status_code, replayed.json()) == (201, first[0].json())
    assert bench.done.made == ["slow"]


async def test_ten_at_once_do_it_once(bench: Bench, keyed: httpx.AsyncClient) -> None:
    answers: list[int] = []

    async def post() -> None:
        answer = await keyed.post("/v1/things", json={"name": "a"}, headers=KEY)
        answers.append(answer.status_code)

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(post)
    assert bench.done.made == ["a"]
    assert set(answers) <= {202, 409}


class Watched(MemoryCache):
    """Tells when a lock was renewed for the third time."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[float] = []
        self.renewed = anyio.Event()

    async def set(self, key: str, value: bytes, *, ttl: float) -> None:
        await super().set(key, value, ttl=ttl)
        self.spans.append(ttl)
        if len(self.spans) == 3:
            self.renewed.set()


async def test_a_long_request_keeps_its_lock(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "LOCK", 0.06)
    cache = Watched()
    async with bench.client(bench.api(cache=cache)) as client, anyio.create_task_group() as group:
        group.start_soon(lambda: client.post("/v1/things/slow", headers=KEY))
        await cache.renewed.wait()
        bench.done.gate.set()
    assert bench.done.made == ["slow"]
    *renewals, kept = cache.spans
    assert set(renewals) == {0.06}
    assert kept == idempotency.KEPT


async def test_a_crash_in_the_middle_frees_the_key(bench: Bench, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "LOCK", 0.2)
    api = bench.api({"rate_limit": "100000/s"}, cache=cache)

    async def killed(
        *_: object,
    ) -> None:  # as a process that died: its lock is neither renewed nor given back
        await anyio.sleep_forever()

    monkeypatch.setattr(idempotency.Idempotency, "_renew", killed)
    async with bench.client(api) as client, anyio.create_task_group() as group:
        group.start_soon(lambda: client.post("/v1/things/slow", headers=KEY))
        await bench.done.entered.wait()
        with anyio.fail_after(5):
            while (await client.post("/v1/things", json={"name": "a"}, headers=KEY)).status_code == 409:
                pass
        assert bench.done.made == ["a"]
        bench.done.gate.set()


async def test_an_answer_too_large_to_keep_is_not_made_twice(bench: Bench, keyed: httpx.AsyncClient) -> None:
    first = await keyed.post("/v1/things/large", headers=KEY)
    assert len(first.content) > 1_100_000
    again = await keyed.post("/v1/things/large", headers=KEY)
    assert again.status_code == 409
    assert "is not kept" in again.json()["detail"]
    assert bench.done.made == ["large"]


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "tab\tbed", "é".encode().decode("latin-1") + "\x85"])
async def test_a_key_that_is_none_is_400(keyed: httpx.AsyncClient, key: str) -> None:
    answer = await keyed.post(
        "/v1/things", json={"name": "a"}, headers=[(b"Idempotency-Key", key.strip(" ").encode("latin-1"))]
    )
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/Idempotency-Key"


async def test_reads_pay_no_heed_to_it(keyed: httpx.AsyncClient) -> None:
    assert (await keyed.get("/v1/things/1", headers=KEY)).status_code == 200
    assert (await keyed.get("/v1/things/2", headers=KEY)).status_code == 200


async def test_a_delete_without_a_body_is_replayed(bench: Bench, keyed: httpx.AsyncClient) -> None:
    for _ in range(2):
        answer = await keyed.delete("/v1/things/3", headers=KEY)
        assert (answer.status_code, answer.content) == (204, b"")
    assert bench.done.made == ["removed 3"]


class Away(MemoryCache):
    async def add(self, key: str, value: bytes, *, ttl: float) -> bool:
        raise Unreachable("storage.redis", "unix:///somewhere", "gone")

    async def set(self, key: str, value: bytes, *, ttl: float) -> None:
        raise Unreachable("storage.redis", "unix:///somewhere", "gone")


async def test_without_the_cache_a_keyed_write_is_503_and_another_one_passes(bench: Bench) -> None:
    async with bench.client(bench.api(cache=Away())) as client:
        refused = await client.post("/v1/things", json={"name": "a"}, headers=KEY)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert "somewhere" not in refused.text
        assert (await client.post("/v1/things", json={"name": "b"})).status_code == 202
    assert bench.done.made == ["b"]


async def test_when_the_cache_goes_away_in_the_middle_the_caller_still_learns_what_was_done(
    bench: Bench,
) -> None:
    class Going(Away):
        async def add(self, key: str, value: bytes, *, ttl: float) -> bool:
            return True

    async with bench.client(bench.api(cache=Going())) as client:
        assert (await client.post("/v1/things", json={"name": "a"}, headers=KEY)).status_code == 202


async def test_every_key_has_a_life_span(bench: Bench, valkey: ValkeyServer) -> None:
    redis = Redis(unix_socket_path=str(valkey.path))
    prefix = f"rt:{uuid4().hex}:"
    async with bench.client(bench.api(cache=RedisCache(redis, prefix))) as client:
        await client.post("/v1/things", json={"name": "a"}, headers=KEY)
    keys = [key async for key in redis.scan_iter(f"{prefix}*")]
    assert len(keys) == 1
    assert 23.9 * 3600 < await redis.ttl(keys[0]) <= 24 * 3600
    await redis.aclose()
