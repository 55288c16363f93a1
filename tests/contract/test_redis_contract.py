"""What the environment's Redis promises, embedded or by URL."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from runtime.errors import Fault
from runtime.storage.redis import EmbeddedRedis, Redis, RemoteRedis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.valkey import ValkeyServer


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name leaves room for a Unix socket's."""
    with tempfile.TemporaryDirectory(prefix="rt-") as folder:
        yield Path(folder)


@pytest.fixture(params=["embedded on a socket", "embedded on a port", "by port", "by socket"])
def make(request: pytest.FixtureRequest, valkey: ValkeyServer, short: Path) -> Callable[[], Redis]:
    return {
        "embedded on a socket": lambda: EmbeddedRedis(short / "redis"),
        "embedded on a port": lambda: EmbeddedRedis(short / ("long" * 25)),
        "by port": lambda: RemoteRedis(valkey.url),
        "by socket": lambda: RemoteRedis(f"unix://{valkey.path}?db=3"),
    }[request.param]


@pytest.fixture
async def redis(make: Callable[[], Redis]) -> AsyncIterator[Redis]:
    made = make()
    await made.start()
    yield made
    await made.client.flushdb()
    await made.stop()


async def test_it_answers_in_bytes(redis: Redis) -> None:
    await redis.client.set("key", "ä", px=60_000)
    assert await redis.client.get("key") == "ä".encode()


async def test_more_commands_than_connections_wait(redis: Redis) -> None:
    async def add() -> None:
        await redis.client.incr("count")

    async with anyio.create_task_group() as tasks:
        for _ in range(300):
            tasks.start_soon(add)
    assert await redis.client.get("count") == b"300"
    info = await redis.client.info("clients")
    assert info["connected_clients"] <= 64 + 2


async def test_a_blocking_read_holds_up_no_one(redis: Redis) -> None:
    reader, found = redis.dedicated(), []

    async def read() -> None:
        found.append(await reader.blpop(["list"], timeout=0))  # type: ignore[misc]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        with anyio.fail_after(5):
            while (await redis.client.info("clients"))["blocked_clients"] == 0:
                await anyio.sleep(0.002)
        await redis.client.rpush("list", "here")  # type: ignore[misc]
    assert found == [(b"list", b"here")]
    await reader.aclose()


async def test_it_says_how_it_is(redis: Redis) -> None:
    health = await redis.health()
    assert health.status == "operational"
    assert health.details["memory_bytes"] > 0
    assert health.details["clients"] >= 1
    assert health.details["version"]
    assert health.details["append_only_file"] == ("on" if isinstance(redis, EmbeddedRedis) else "off")


async def test_a_stopped_one_starts_again_with_the_same_client(redis: Redis) -> None:
    client = redis.client
    await redis.stop()
    await redis.stop()
    await redis.start()
    assert redis.client is client
    assert await client.ping()  # type: ignore[misc]


async def test_one_that_never_started(make: Callable[[], Redis]) -> None:
    made = make()
    await made.stop()
    with pytest.raises(Fault, match="not started"):
        _ = made.client
    assert (await made.health()).status == "down"


async def test_its_address_shows_no_password(redis: Redis) -> None:
    assert redis.address.startswith(("redis://127.0.0.1:", "unix:///"))
    assert "@" not in redis.address
