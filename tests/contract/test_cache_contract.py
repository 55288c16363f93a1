"""What every cache promises, on each back-end."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import anyio
import pytest
from redis.asyncio import Redis

from runtime.storage.cache import MemoryCache, RedisCache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from runtime.storage.ports import Cache
    from tests.valkey import ValkeyServer


@pytest.fixture(params=["memory", "redis"])
async def cache(request: pytest.FixtureRequest, valkey: ValkeyServer) -> AsyncIterator[Cache]:
    if request.param == "memory":
        yield MemoryCache()
        return
    prefix = f"rt:{{{secrets.token_hex(4)}}}:cache:"
    async with Redis(unix_socket_path=str(valkey.path), max_connections=8) as client:
        yield RedisCache(client, prefix)
        for key in await client.keys(f"{prefix}*"):
            assert await client.pttl(key) > 0, f"{key!r} lives for ever"


class Counted:
    """A computation that counts its calls and waits for a sign."""

    def __init__(self, *, waits: bool = False, error: Exception | None = None) -> None:
        self.calls = 0
        self.begun = anyio.Event()
        self.go = anyio.Event()
        self.error = error
        if not waits:
            self.go.set()

    async def __call__(self) -> bytes:
        self.calls += 1
        self.begun.set()
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return b"value %d" % self.calls


async def gather(*calls: Callable[[], Awaitable[bytes]]) -> list[bytes | Exception]:
    """What each call returned or raised."""
    found: list[bytes | Exception] = [b""] * len(calls)

    async def one(place: int, call: Callable[[], Awaitable[bytes]]) -> None:
        try:
            found[place] = await call()
        except ValueError as error:
            found[place] = error

    async with anyio.create_task_group() as tasks:
        for place, call in enumerate(calls):
            tasks.start_soon(one, place, call)
    return found


async def test_what_is_set_is_got(cache: Cache) -> None:
    assert await cache.get("key") is None
    await cache.set("key", b"\x00\xff", ttl=60)
    assert await cache.get("key") == b"\x00\xff"
    await cache.set("key", b"", ttl=60)
    assert await cache.get("key") == b""


async def test_what_is_deleted_is_gone(cache: Cache) -> None:
    await cache.set("key", b"1", ttl=60)
    await cache.delete("key")
    await cache.delete("key")
    assert await cache.get("key") is None


async def test_only_the_first_adds(cache: Cache) -> None:
    assert await cache.add("key", b"1", ttl=60)
    assert not await cache.add("key", b"2", ttl=60)
    assert await cache.get("key") == b"1"
    await cache.delete("key")
    assert await cache.add("key", b"3", ttl=60)


async def test_what_is_out_of_time_is_gone(cache: Cache) -> None:
    await cache.set("key", b"1", ttl=0.005)
    await cache.set("other", b"2", ttl=60)
    with anyio.fail_after(5):
        while await cache.get("key") is not None:
            await anyio.sleep(0.002)
    assert await cache.add("key", b"3", ttl=60)
    assert await cache.get("other") == b"2"


@pytest.mark.parametrize("ttl", [0, -1, float("nan")])
async def test_nothing_lives_for_ever(cache: Cache, ttl: float) -> None:
    for call in (
        cache.set("key", b"1", ttl=ttl),
        cache.add("key", b"1", ttl=ttl),
        cache.get_or_compute("key", Counted(), ttl=ttl),
    ):
        with pytest.raises(ValueError, match="time to live"):
            await call
    assert await cache.get("key") is None


async def test_a_value_is_computed_once_and_kept(cache: Cache) -> None:
    compute = Counted()
    assert await cache.get_or_compute("key", compute, ttl=60) == b"value 1"
    assert await cache.get_or_compute("key", compute, ttl=60) == b"value 1"
    assert await cache.get("key") == b"value 1"
    assert compute.calls == 1


async def test_of_many_at_once_one_computes(cache: Cache) -> None:
    compute = Counted(waits=True)

    async def release() -> bytes:
        await compute.begun.wait()
        compute.go.set()
        return b""

    found = await gather(*[lambda: cache.get_or_compute("key", compute, ttl=60)] * 20, release)
    assert found[:20] == [b"value 1"] * 20
    assert compute.calls == 1


async def test_keys_do_not_wait_for_each_other(cache: Cache) -> None:
    slow = Counted(waits=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: cache.get_or_compute("slow", slow, ttl=60))
        await slow.begun.wait()
        assert await cache.get_or_compute("quick", Counted(), ttl=60) == b"value 1"
        slow.go.set()


async def test_a_failure_is_raised_to_all_who_wait_and_not_kept(cache: Cache) -> None:
    failing = Counted(waits=True, error=ValueError("no"))

    async def release() -> bytes:
        await failing.begun.wait()
        failing.go.set()
        return b""

    found = await gather(*[lambda: cache.get_or_compute("key", failing, ttl=60)] * 3, release)
    assert [str(error) for error in found[:3]] == ["no"] * 3
    assert await cache.get_or_compute("key", Counted(), ttl=60) == b"value 1"


async def test_another_takes_over_from_one_that_is_cancelled(cache: Cache) -> None:
    stuck, found = Counted(waits=True), []
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as first:
                first.start_soon(lambda: cache.get_or_compute("key", stuck, ttl=60))
                await stuck.begun.wait()

                async def wait() -> None:
                    found.append(await cache.get_or_compute("key", Counted(), ttl=60))

                tasks.start_soon(wait)
                await anyio.sleep(0)
                scope.cancel()
    assert found == [b"value 1"]


async def test_a_value_set_in_between_is_taken(cache: Cache) -> None:
    await cache.set("key", b"mine", ttl=60)
    assert await cache.get_or_compute("key", Counted(), ttl=60) == b"mine"
