"""The cache of several instances over one Redis."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import anyio
import pytest
from redis.asyncio import Redis

from runtime.errors import Unreachable
from runtime.storage.cache import MemoryCache, RedisCache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.valkey import ValkeyServer


@pytest.fixture
async def client(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    async with Redis(unix_socket_path=str(valkey.path), max_connections=16) as made:
        yield made


@pytest.fixture
def prefix() -> str:
    return f"rt:{{{secrets.token_hex(4)}}}:cache:"


async def test_of_many_instances_one_computes(client: Redis, prefix: str) -> None:
    calls, found = [], []

    async def compute() -> bytes:
        calls.append(1)
        await anyio.sleep(0.02)
        return b"value"

    async def one() -> None:
        found.append(await RedisCache(client, prefix).get_or_compute("key", compute, ttl=60))

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(one)
    assert found == [b"value"] * 10
    assert len(calls) == 1
    assert await client.keys(f"{prefix}*") == [f"{prefix}key".encode()]


async def test_an_instance_that_died_is_replaced(client: Redis, prefix: str) -> None:
    await client.set(f"{prefix}key:lock", b"of one that died", px=50)

    async def compute() -> bytes:
        return b"value"

    assert await RedisCache(client, prefix).get_or_compute("key", compute, ttl=60) == b"value"


async def test_a_long_computation_keeps_its_lock(client: Redis, prefix: str) -> None:
    calls: list[int] = []

    async def compute() -> bytes:
        calls.append(1)
        for _ in range(20):  # five times the lease
            assert await client.pttl(f"{prefix}key:lock") > 0
            await anyio.sleep(0.015)
        return b"value"

    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            cache = RedisCache(client, prefix, lease=0.06)
            tasks.start_soon(lambda cache=cache: cache.get_or_compute("key", compute, ttl=60))  # type: ignore[misc]
    assert len(calls) == 1


async def test_a_lock_that_was_lost_is_not_freed(client: Redis, prefix: str) -> None:
    async def compute() -> bytes:
        await client.set(f"{prefix}key:lock", b"another's", px=60_000)
        return b"value"

    await RedisCache(client, prefix).get_or_compute("key", compute, ttl=60)
    assert await client.get(f"{prefix}key:lock") == b"another's"


async def test_a_redis_that_is_away_is_out_of_reach(tmp_path: Path) -> None:
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    async with Redis(unix_socket_path=str(tmp_path / "none"), retry=Retry(NoBackoff(), 0)) as away:
        with pytest.raises(Unreachable):
            await RedisCache(away, "rt:").get("key")


async def test_memory_keeps_what_was_used_last() -> None:
    cache = MemoryCache(entries=2)
    await cache.set("a", b"1", ttl=60)
    await cache.set("b", b"2", ttl=60)
    assert await cache.get("a") == b"1"
    await cache.set("c", b"3", ttl=60)
    assert len(cache) == 2
    assert [await cache.get(key) for key in "abc"] == [b"1", None, b"3"]


async def test_memory_goes_by_its_clock() -> None:
    now = 0.0
    cache = MemoryCache(clock=lambda: now)
    await cache.set("a", b"1", ttl=10)
    now = 9.9
    assert await cache.get("a") == b"1"
    assert not await cache.add("a", b"2", ttl=10)
    now = 10.0
    assert await cache.get("a") is None
    assert len(cache) == 0
