"""The states of providers in Redis, shared by all instances.

A hash holds each provider that is not active; each instance knows a copy that is at most a second old, so that a call
asks nobody. A failure is counted where all see it. While Redis is away each instance goes on by what it sees itself.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio
import msgspec
from redis.exceptions import RedisError

from runtime.services.ai.breaker import PROBE, Condition, LocalConditions
from runtime.services.names import time_ordered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from runtime.spec.fields import Breaker

logger = logging.getLogger("runtime.ai")

PATIENCE: Final = 0.25
T = TypeVar("T")

# KEYS: states, failures, probe. ARGV: provider, failures that open, window, cooldown (seconds), reason, id.
FAILED: Final = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('DEL', KEYS[3])
local kept = redis.call('HGET', KEYS[1], ARGV[1])
local known = kept and cjson.decode(kept)
if known and (known.state == 'disabled' or known['until'] > now) then return kept end
redis.call('ZADD', KEYS[2], now, ARGV[6])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[3])
redis.call('PEXPIRE', KEYS[2], math.ceil(ARGV[3] * 1000))
if known or redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[2]) then
  redis.call('DEL', KEYS[2])
  kept = cjson.encode({state = 'cooldown', ['until'] = now + ARGV[4], reason = ARGV[5]})
  redis.call('HSET', KEYS[1], ARGV[1], kept)
end
return kept
"""

# KEYS: states, probe. ARGV: provider, seconds that the probe may take.
PROBING: Final = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local kept = redis.call('HGET', KEYS[1], ARGV[1])
if kept and cjson.decode(kept)['until'] > now then return 0 end
return redis.call('SET', KEYS[2], 1, 'NX', 'PX', math.ceil(ARGV[2] * 1000)) and 1 or 0
"""


class RedisConditions(LocalConditions):
    """The states as all instances see them.

    Args:
        redis: the client.
        prefix: of the keys, `rt:{name}:ai:`.
    """

    def __init__(self, redis: Redis, prefix: str) -> None:
        super().__init__()
        self._redis = redis
        self._states = f"{prefix}providers"
        self._prefix = prefix
        self._failed = redis.register_script(FAILED)
        self._probe = redis.register_script(PROBING)
        self._alone = False

    def _keys(self, provider: str) -> tuple[str, str]:
        return f"{self._prefix}failures:{provider}", f"{self._prefix}probe:{provider}"

    async def refresh(self) -> None:
        before = self.changes

        async def read() -> None:
            kept: dict[bytes, bytes] = await self._redis.hgetall(self._states)  # type: ignore[misc]
            if self.changes == before:  # else it may be older than what is known here
                self.known = {n.decode(): msgspec.json.decode(text, type=Condition) for n, text in kept.items()}

        await self._shared(read)

    async def failed(self, provider: str, breaker: Breaker, reason: str) -> Condition:
        failures, probe = self._keys(provider)
        arguments: list[Any] = [provider, breaker.failures, breaker.window, breaker.cooldown, reason, time_ordered()]

        async def count() -> Condition:
            kept = await self._failed([self._states, failures, probe], arguments)
            if kept is not None:
                self.changes += 1
                self.known[provider] = msgspec.json.decode(kept, type=Condition)
            return self[provider]

        counted = await self._shared(count)
        return counted if counted is not None else await super().failed(provider, breaker, reason)

    async def take_probe(self, provider: str) -> bool:
        _, probe = self._keys(provider)

        async def take() -> bool:
            return bool(await self._probe([self._states, probe], [provider, PROBE]))

        taken = await self._shared(take)
        return taken if taken is not None else await super().take_probe(provider)

    async def restore(self, provider: str) -> None:
        await super().restore(provider)

        async def forget() -> None:
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.hdel(self._states, provider)
            pipeline.delete(*self._keys(provider))
            await pipeline.execute()

        await self._shared(forget)

    async def disable(self, provider: str, reason: str) -> None:
        await super().disable(provider, reason)

        async def tell() -> None:
            kept = msgspec.json.encode(self[provider]).decode()
            await self._redis.hset(self._states, provider, kept)  # type: ignore[misc]

        await self._shared(tell)

    async def release(self, provider: str) -> None:
        await super().release(provider)
        _, probe = self._keys(provider)

        async def free() -> None:
            await self._redis.delete(probe)

        await self._shared(free)

    async def _shared(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """What Redis says; None where it does not answer."""
        try:
            with anyio.fail_after(PATIENCE):
                answer = await ask()
        except (RedisError, OSError, TimeoutError, msgspec.DecodeError) as error:
            if not self._alone:
                self._alone = True
                logger.warning("the states of providers are this instance's alone: %s", type(error).__name__)
            return None
        if self._alone:
            self._alone = False
            logger.info("the states of providers are shared again")
        return answer
