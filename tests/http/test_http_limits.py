"""Limits: the window itself, the sharing through Redis, and the headers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from uuid import uuid4

import anyio
import anyio.abc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from runtime.http.limits import Limiter
from runtime.http.window import Windows
from runtime.spec.units import Rate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.http.conftest import Bench
    from tests.valkey import ValkeyServer


@pytest.fixture
async def redis(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    client = Redis(unix_socket_path=str(valkey.path))
    yield client
    await client.aclose()


@pytest.fixture
def prefix() -> str:
    return f"rt:{uuid4().hex}:limit:"


# -- the window ------------------------------------------------------------------------------------------


@given(
    limit=st.integers(1, 20),
    steps=st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=120),
)
def test_no_stretch_of_a_window_has_many_more_than_the_limit(limit: int, steps: list[float]) -> None:
    windows, now, passed = Windows(), 1_000_000.0, []
    for step in steps:
        now += step
        if windows.hit("a", Rate(limit, 10.0), now).allowed:
            passed.append(now)
    for first in passed:
        inside = sum(first <= other < first + 10 for other in passed)
        assert inside <= limit + max(1, limit // 2)  # what is not evenly spread costs at most this


@given(limit=st.integers(1, 50), phase=st.floats(0, 9.99))
def test_a_burst_passes_up_to_the_limit_and_the_reset_is_true(limit: int, phase: float) -> None:
    windows, rate, now = Windows(), Rate(limit, 10.0), 1_000_000.0 + phase
    verdicts = [windows.hit("a", rate, now) for _ in range(limit + 3)]
    assert [verdict.allowed for verdict in verdicts] == [True] * limit + [False] * 3
    assert [verdict.remaining for verdict in verdicts[:limit]] == list(range(limit - 1, -1, -1))
    reset = verdicts[-1].reset
    assert 0 < reset <= 20
    assert not windows.hit("a", rate, now + reset * 0.98).allowed or limit > 1
    assert windows.hit("a", rate, now + reset + 0.001).allowed
    assert windows.hit("b", rate, now).allowed


# -- sharing ---------------------------------------------------------------------------------------------


async def test_instances_share_a_limit_exactly_near_its_end(redis: Redis, prefix: str) -> None:
    instances = [Limiter(redis, prefix) for _ in range(4)]
    rate = Rate(40, 3600.0)
    passed = 0
    for turn in range(100):
        passed += (await instances[turn % 4].hit("caller", rate)).allowed
    assert passed == 40


async def test_side_by_side_too(redis: Redis, prefix: str) -> None:
    instances = [Limiter(redis, prefix) for _ in range(4)]
    passed = 0

    async def call(limiter: Limiter) -> None:
        nonlocal passed
        for _ in range(100):
            allowed = (await limiter.hit("caller", Rate(200, 3600.0))).allowed
            passed += allowed

    async with anyio.create_task_group() as group:
        for limiter in instances:
            group.start_soon(call, limiter)
    assert 200 <= passed <= 200 * 1.1


async def test_far_from_the_limit_redis_is_seldom_asked(redis: Redis, prefix: str) -> None:
    limiter = Limiter(redis, prefix)
    before = (await redis.info("commandstats")).get("cmdstat_evalsha", {}).get("calls", 0)
    for _ in range(500):
        assert (await limiter.hit("caller", Rate(100_000, 3600.0))).allowed
    after = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert after - before <= 20


async def test_the_counts_have_a_life_span(redis: Redis, prefix: str) -> None:
    await Limiter(redis, prefix).hit("caller", Rate(5, 60.0))
    keys = [key async for key in redis.scan_iter(f"{prefix}*")]
    assert len(keys) == 1
    assert 0 < await redis.pttl(keys[0]) <= 120_000


async def test_what_was_let_through_is_reported_later(redis: Redis, prefix: str) -> None:
    one, two = Limiter(redis, prefix), Limiter(redis, prefix)
    rate = Rate(100, 3600.0)
    for _ in range(10):  # the first asks, nine pass on its word
        assert (await one.hit("caller", rate)).allowed
    assert (await two.hit("caller", rate)).remaining == 100 - 2
    await one.hit("caller", rate)  # asks again, and tells of the nine
    assert (await two._ask("caller", rate, 0)).remaining == 100 - 13  # type: ignore[union-attr]


async def test_without_redis_it_counts_alone_and_comes_back(prefix: str, valkey: ValkeyServer) -> None:
    away = Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0))
    limiter = Limiter(away, prefix)
    assert limiter.shared
    assert not limiter.alone
    verdicts = [await limiter.hit("caller", Rate(3, 3600.0)) for _ in range(5)]
    assert [verdict.allowed for verdict in verdicts] == [True, True, True, False, False]
    assert limiter.alone
    away.connection_pool.connection_kwargs["port"] = valkey.port
    away.connection_pool.reset()
    limiter._ask_after = 0.0
    assert (await limiter.hit("caller", Rate(3, 3600.0))).allowed
    assert not limiter.alone
    await away.aclose()


async def test_a_redis_that_hangs_delays_nobody_for_long(prefix: str) -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        hanging = Redis(host="127.0.0.1", port=port)
        limiter = Limiter(hanging, prefix)
        began = time.monotonic()
        for _ in range(50):
            assert (await limiter.hit("caller", Rate(100, 60.0))).allowed
        assert time.monotonic() - began < 3  # one wait of a quarter of a second, not fifty
        assert limiter.alone
        await hanging.aclose()


# -- over HTTP -------------------------------------------------------------------------------------------


async def test_a_caller_is_told_where_it_stands_and_is_refused(bench: Bench) -> None:
    async with bench.client(bench.api({"rate_limit": "3/h"})) as client:
        first = await client.get("/v1/things")
        assert first.headers["ratelimit-limit"] == "3"
        assert first.headers["ratelimit-remaining"] == "2"
        assert int(first.headers["ratelimit-reset"]) <= 3600
        await client.get("/v1/things")
        await client.get("/v1/things/99")
        refused = await client.get("/v1/things")
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["ratelimit-remaining"] == "0"
        assert refused.json()["type"] == "/docs#too-many"


async def test_probes_are_never_limited(bench: Bench) -> None:
    async with bench.client(bench.api({"rate_limit": "2/h"})) as client:
        for _ in range(5):
            for path in ("/livez", "/readyz", "/healthz"):
                answer = await client.get(path)
                assert answer.status_code == 200
                assert "ratelimit-limit" not in answer.headers


async def test_missing_keys_are_limited_by_address(bench: Bench) -> None:
    async with bench.client(bench.api({"rate_limit": "3/h"})) as client:
        seen = [(await client.get("/v1/things", headers={"Authorization": ""})).status_code for _ in range(5)]
        assert seen == [401, 401, 401, 429, 429]
        assert (await client.get("/v1/things")).status_code == 200


async def test_the_limit_is_live(bench: Bench) -> None:
    api = bench.api({"rate_limit": "2/h"})
    async with bench.client(api) as client:
        seen = [(await client.get("/v1/things")).status_code for _ in range(3)]
        api.live.update({"rate_limit": "5/h"})
        seen += [(await client.get("/v1/things")).status_code for _ in range(4)]
        assert seen == [200, 200, 429, 200, 200, 200, 429]


async def test_two_servers_share_it_through_redis(bench: Bench, redis: Redis, prefix: str) -> None:
    def api() -> object:
        return bench.api({"rate_limit": "10/h"}, redis=redis, prefix=prefix)

    async with bench.client(api()) as one, bench.client(api()) as two:  # type: ignore[arg-type]
        seen = [(await (one, two)[turn % 2].get("/v1/things")).status_code for turn in range(14)]
    assert seen.count(200) == 10
    assert set(seen[10:]) == {429}


def test_live_settings_are_taken_whole_or_not_at_all(bench: Bench) -> None:
    live = bench.api({"rate_limit": "2/h", "max_body": "1kB"}).live
    with pytest.raises(ValueError, match="size"):
        live.update({"rate_limit": "9/h", "max_body": "much"})
    assert (live.rate_limit, live.max_body) == (Rate(2, 3600.0), 1000)
    live.update({"host": "elsewhere", "rate_limit": Rate(7, 1.0), "max_body": 5})
    assert (live.rate_limit, live.max_body) == (Rate(7, 1.0), 5)
