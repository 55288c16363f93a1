"""The sliding window that limits count with: two counters, the older of which fades out.

No caller gets more than the limit in any stretch as long as the window, but for the small error of taking
the older counter's requests as evenly spread. `SCRIPT` is the same in Redis, where all instances share it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Final, NamedTuple

from runtime.spec.units import Rate

MOST_CALLERS: Final = 10_000


class Verdict(NamedTuple):
    """What a limit says of one request.

    Args:
        allowed: whether it may pass.
        remaining: how many more may at this moment.
        reset: seconds until the next one may pass, where this one may not; else until the window's end.
    """

    allowed: bool
    remaining: int
    reset: float


SCRIPT: Final = """
-- KEYS: a hash of index, current and previous. ARGV: limit, window in ms, requests already let through.
-- Counts those, then one more if it may pass. Answers {allowed, remaining, reset in ms}.
local limit, window, passed = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local index, elapsed = math.floor(now / window), now % window
local stored = redis.call('HMGET', KEYS[1], 'i', 'c', 'p')
local behind = index - (tonumber(stored[1]) or -9)
local current, previous = 0, 0
if behind <= 0 then
  current, previous = tonumber(stored[2]), tonumber(stored[3])
elseif behind == 1 then
  previous = tonumber(stored[2])
end
current = current + passed
local fading = previous * (1 - elapsed / window)
local allowed = fading + current + 1 <= limit
if allowed then current = current + 1 end
if allowed or passed > 0 then
  redis.call('HSET', KEYS[1], 'i', index, 'c', current, 'p', previous)
  redis.call('PEXPIRE', KEYS[1], 2 * window)
end
local reset = window - elapsed
if not allowed then
  local room = limit - 1 - current
  if room >= 0 then
    reset = (1 - room / previous) * window - elapsed
  else
    reset = reset + math.max(0, 1 - (limit - 1) / current) * window
  end
end
return {allowed and 1 or 0, math.max(0, math.floor(limit - fading - current)), math.ceil(reset)}
"""


class Windows:
    """Windows in this process's memory, one a caller; the callers seen longest ago are forgotten."""

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[str, float], tuple[int, int, int]] = OrderedDict()

    def hit(self, who: str, limit: Rate, now: float) -> Verdict:
        """Counts one request, if it may pass.

        Args:
            now: Unix time, seconds.
        """
        window = limit.seconds
        elapsed = now % window
        index, current, previous = self._at(who, window, now)
        fading = previous * (1 - elapsed / window)
        allowed = fading + current + 1 <= limit.count
        if allowed:
            current += 1
            self._keep(who, window, (index, current, previous))
        remaining = max(0, math.floor(limit.count - fading - current))
        reset = window - elapsed
        if not allowed:
            room = limit.count - 1 - current
            if room >= 0:
                reset = (1 - room / previous) * window - elapsed
            else:
                reset += max(0.0, 1 - (limit.count - 1) / current) * window
        return Verdict(allowed, remaining, reset)

    def add(self, who: str, limit: Rate, now: float, count: int) -> None:
        """Counts requests that were let through already."""
        if count:
            index, current, previous = self._at(who, limit.seconds, now)
            self._keep(who, limit.seconds, (index, current + count, previous))

    def _at(self, who: str, window: float, now: float) -> tuple[int, int, int]:
        """The number of the window that `now` lies in, its count and that of the one before."""
        index = int(now // window)
        known, current, previous = self._counts.get((who, window), (index, 0, 0))
        if index == known:
            return index, current, previous
        return index, 0, current if index == known + 1 else 0

    def _keep(self, who: str, window: float, counts: tuple[int, int, int]) -> None:
        key = (who, window)
        self._counts[key] = counts
        self._counts.move_to_end(key)
        if len(self._counts) > MOST_CALLERS:
            self._counts.popitem(last=False)
