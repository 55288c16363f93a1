"""Attempts to sign in, counted before anything is hashed, with delays that grow and clear themselves.

An account is never locked as such: what is locked is an account for an address, or for a device that has signed in to
it before. So a stranger locks out nobody but themselves.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger("runtime.auth")

LONGEST: Final = 86_400.0
"""Seconds of the longest delay, and for which the delays before are remembered."""
MOST: Final = 10_000
PATIENCE: Final = 0.5

_BEGIN: Final = """
-- KEYS: hashes of n(umber), e(nd of window), l(ocked until), r(ounds). ARGV: the longest delay, then limit and window
-- of each key; ms. Counts an attempt at all of them, or at none and answers for how long it has to wait.
local clock = redis.call('TIME')
local now, wait = clock[1] * 1000 + math.floor(clock[2] / 1000), 0
for _, key in ipairs(KEYS) do
  wait = math.max(wait, (tonumber(redis.call('HGET', key, 'l')) or 0) - now)
end
if wait > 0 then return wait end
for place, key in ipairs(KEYS) do
  local limit, window = tonumber(ARGV[place * 2]), tonumber(ARGV[place * 2 + 1])
  local known = redis.call('HMGET', key, 'n', 'e', 'r')
  local n, e, r = tonumber(known[1]) or 0, tonumber(known[2]) or 0, tonumber(known[3]) or 0
  if e <= now then n, e = 0, now + window end
  n = n + 1
  if n > limit then
    local delay = math.min(window * 2 ^ r, tonumber(ARGV[1]))
    redis.call('HSET', key, 'n', 0, 'e', 0, 'r', r + 1, 'l', now + delay)
    wait = math.max(wait, delay)
  else
    redis.call('HSET', key, 'n', n, 'e', e)
  end
  redis.call('PEXPIRE', key, math.max(tonumber(ARGV[1]), window * 2))
end
return wait
"""


class Counted(NamedTuple):
    """What is counted.

    Args:
        name: whose attempts.
        limit: how many within the window.
        window: seconds; the first delay is as long.
    """

    name: str
    limit: int
    window: float


class Attempts:
    """Counts attempts, over all instances while Redis answers, else in this one.

    Args:
        client: of Redis.
        prefix: of its keys.

    Example:
        >>> wait = await attempts.begin(Counted("sign-in ada@example.com 127.0.0.1", 5, 900))  # doctest: +SKIP
    """

    def __init__(self, client: Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._begin = client.register_script(_BEGIN)
        self._own: OrderedDict[str, list[float]] = OrderedDict()

    async def begin(self, *counted: Counted) -> float:
        """Counts one attempt.

        Returns:
            The seconds to wait for the next one; 0 where this one may go on.
        """
        arguments: list[int] = [int(LONGEST * 1000)]
        for each in counted:
            arguments += [each.limit, int(each.window * 1000)]
        try:
            with anyio.fail_after(PATIENCE):
                wait = await self._begin([self._prefix + each.name for each in counted], arguments)
        except (RedisError, OSError) as error:
            logger.warning("attempts are counted by this instance alone: %s", type(error).__name__)
            return max(self._alone(each) for each in counted)
        return float(wait) / 1000

    async def clear(self, name: str) -> None:
        """Forgets the attempts of one name: the last one was right."""
        self._own.pop(name, None)
        try:
            with anyio.fail_after(PATIENCE):
                await self._client.delete(self._prefix + name)
        except (RedisError, OSError) as error:
            logger.warning("attempts could not be cleared: %s", type(error).__name__)

    async def forgive(self, name: str) -> None:
        """Takes one attempt of a name back: it was right."""
        if name in self._own:
            self._own[name][0] -= 1
        try:
            with anyio.fail_after(PATIENCE):
                await self._client.execute_command("HINCRBY", self._prefix + name, "n", -1)  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            logger.warning("an attempt could not be taken back: %s", type(error).__name__)

    def _alone(self, counted: Counted) -> float:
        """As the script does."""
        now = time.monotonic()
        number, end, locked, rounds = self._own.setdefault(counted.name, [0.0, 0.0, 0.0, 0.0])
        self._own.move_to_end(counted.name)
        while len(self._own) > MOST:
            self._own.popitem(last=False)
        if locked > now:
            return locked - now
        if end <= now:
            number, end = 0.0, now + counted.window
        number += 1
        delay = 0.0
        if number > counted.limit:
            delay = min(counted.window * 2**rounds, LONGEST)
            number, end, locked, rounds = 0.0, 0.0, now + delay, rounds + 1
        self._own[counted.name] = [number, end, locked, rounds]
        return delay
