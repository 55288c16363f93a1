"""A cache in Redis, shared by all instances of an environment."""

from __future__ import annotations

import logging
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from runtime.errors import Unreachable
from runtime.storage.adapters.memory import checked
from runtime.storage.single_flight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    import redis.asyncio

logger = logging.getLogger("runtime.storage")

LEASE = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.2

RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0
"""


class RedisCache:
    """Entries with a common prefix.

    Args:
        client: the environment's shared client.
        prefix: what every key begins with, `rt:{core}:cache:`.
        lease: seconds after which a computing instance that died is replaced; renewed while it computes.
    """

    def __init__(self, client: redis.asyncio.Redis, prefix: str, *, lease: float = LEASE) -> None:
        self._client = client
        self._prefix = prefix
        self._lease = lease
        self._flights = SingleFlight()

    async def get(self, key: str) -> bytes | None:
        async with _reached():
            value: bytes | None = await self._client.get(self._prefix + key)
        return value

    async def set(self, key: str, value: bytes, *, ttl: float) -> None:
        async with _reached():
            await self._client.set(self._prefix + key, value, px=_milliseconds(ttl))

    async def add(self, key: str, value: bytes, *, ttl: float) -> bool:
        async with _reached():
            return bool(await self._client.set(self._prefix + key, value, px=_milliseconds(ttl), nx=True))

    async def delete(self, key: str) -> None:
        async with _reached():
            await self._client.delete(self._prefix + key)

    async def get_or_compute(self, key: str, compute: Callable[[], Awaitable[bytes]], *, ttl: float) -> bytes:
        checked(ttl)
        return await self._flights.run(key, lambda: self._get_or_compute(key, compute, ttl))

    async def _get_or_compute(self, key: str, compute: Callable[[], Awaitable[bytes]], ttl: float) -> bytes:
        """The instance that holds the lock computes; the others wait for its value, or for the lock."""
        lock, token = f"{key}:lock", secrets.token_bytes(16)
        pauses = _pauses()
        while (value := await self.get(key)) is None:
            if await self.add(lock, token, ttl=self._lease):
                return await self._compute_alone(lock, token, lambda: self._fill(key, compute, ttl))
            await anyio.sleep(next(pauses))
        return value

    async def _compute_alone(self, lock: str, token: bytes, work: Callable[[], Awaitable[bytes]]) -> bytes:
        name, value, failure = self._prefix + lock, b"", None
        try:
            async with anyio.create_task_group() as renewing:
                renewing.start_soon(self._renew, name, token)
                try:
                    value = await work()
                except Exception as error:  # noqa: BLE001 - raised below, where no group wraps it
                    failure = error
                renewing.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                async with _reached():
                    await self._script(RELEASE, name, token)
        if failure is not None:
            raise failure
        return value

    async def _fill(self, key: str, compute: Callable[[], Awaitable[bytes]], ttl: float) -> bytes:
        value = await self.get(key)  # another may have set it between our look and our lock
        if value is None:
            value = await compute()
            await self.set(key, value, ttl=ttl)
        return value

    async def _renew(self, name: str, token: bytes) -> None:
        while True:
            await anyio.sleep(self._lease / 3)
            try:
                async with _reached():
                    await self._script(RENEW, name, token, str(_milliseconds(self._lease)))
            except Unreachable as error:
                logger.warning("a cache lock could not be renewed: %s", error.message)

    async def _script(self, script: str, name: str, *arguments: bytes | str) -> None:
        await self._client.execute_command("EVAL", script, 1, name, *arguments)  # type: ignore[no-untyped-call]


@asynccontextmanager
async def _reached() -> AsyncIterator[None]:
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Unreachable("storage.redis", "Redis", reason) from error


def _milliseconds(seconds: float) -> int:
    return max(1, round(checked(seconds) * 1000))


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 2, LONGEST_PAUSE)
