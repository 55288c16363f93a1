"""How many requests and tokens may still be had in a unit of time: the arithmetic, in Redis and without it.

Two counters a limit, of which the older one fades out, as `runtime.http.window` explains; here what is counted has a
weight. An instance is granted a little more than it asks for where there is plenty, which counts as used at once: so
instances together never pass a limit, and most calls need not ask.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from runtime.spec.units import Rate

MOST: Final = 20_000
"""Counters kept in memory; those that were used longest ago are forgotten."""

SCRIPT: Final = """
-- KEYS: the instances that count, then a hash of index, current and previous for each limit.
-- ARGV: this instance, how many limits are of the first group, the seconds for which an instance counts; then for
--   each limit: count, window in ms, need, what is given back, and the index of the window that it was had in.
-- A group is granted as a whole or not at all, and the second one only with the first. For each limit it answers
-- what is granted (-1: refused, -2: not looked at), ms until that may change, and the index of the window; and before
-- all of them how many instances there are.
local instance, first, lives = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZADD', KEYS[1], now, instance)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - lives * 1000)
redis.call('PEXPIRE', KEYS[1], lives * 1000)
local answer = {redis.call('ZCARD', KEYS[1])}
local limits = {}
for i = 1, #KEYS - 1 do
  local a = 4 + (i - 1) * 5
  local l = {count = tonumber(ARGV[a]), window = tonumber(ARGV[a + 1]), granted = -2}
  l.need = math.min(tonumber(ARGV[a + 2]), l.count)
  local back, had = tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4])
  l.index, l.elapsed = math.floor(now / l.window), now % l.window
  local stored = redis.call('HMGET', KEYS[i + 1], 'i', 'c', 'p')
  local behind = l.index - (tonumber(stored[1]) or -9)
  l.current, l.previous = 0, 0
  if behind <= 0 then
    l.current, l.previous = tonumber(stored[2]), tonumber(stored[3])
  elseif behind == 1 then
    l.previous = tonumber(stored[2])
  end
  if had == l.index then
    l.current = math.max(0, l.current - back)
  elseif had == l.index - 1 then
    l.previous = math.max(0, l.previous - back)
  end
  l.fading = l.previous * (1 - l.elapsed / l.window)
  limits[i] = l
end
local open = true
for group = 1, 2 do
  local from, to = 1, first
  if group == 2 then from, to = first + 1, #limits end
  if open then
    for i = from, to do
      local l = limits[i]
      if l.fading + l.current + l.need > l.count then open = false end
    end
    for i = from, to do
      local l = limits[i]
      if open then
        local left = l.count - l.fading - l.current - l.need
        l.granted = l.need + math.max(0, math.min(math.floor(left / 20), l.need * 100))
        l.current = l.current + l.granted
      elseif l.fading + l.current + l.need > l.count then
        l.granted = -1
      end
    end
  end
end
for i, l in ipairs(limits) do
  redis.call('HSET', KEYS[i + 1], 'i', l.index, 'c', l.current, 'p', l.previous)
  redis.call('PEXPIRE', KEYS[i + 1], 2 * l.window)
  local wait = l.window - l.elapsed
  if l.granted == -1 then
    local room = l.count - l.need - l.current
    if room >= 0 then
      wait = (1 - room / l.previous) * l.window - l.elapsed
    else
      wait = wait + math.max(0, 1 - (l.count - l.need) / l.current) * l.window
    end
  end
  answer[#answer + 1] = l.granted
  answer[#answer + 1] = math.ceil(wait)
  answer[#answer + 1] = l.index
end
return answer
"""


class Counters:
    """The same counters in this process's memory, for the time that Redis is away."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, tuple[int, int, int]] = OrderedDict()

    def take(self, key: str, limit: Rate, need: int, now: float) -> float:
        """Counts a need, if it fits.

        Args:
            now: Unix time, seconds.

        Returns:
            Seconds to wait; 0 where it was counted.
        """
        index, elapsed = int(now // limit.seconds), now % limit.seconds
        known, current, previous = self._counts.get(key, (index, 0, 0))
        if index == known + 1:
            current, previous = 0, current
        elif index != known:
            current, previous = 0, 0
        need = min(need, limit.count)
        if previous * (1 - elapsed / limit.seconds) + current + need <= limit.count:
            self._counts[key] = index, current + need, previous
            self._counts.move_to_end(key)
            if len(self._counts) > MOST:
                self._counts.popitem(last=False)
            return 0.0
        room = limit.count - need - current
        if room >= 0:
            return math.ceil((1 - room / previous) * limit.seconds - elapsed)
        return limit.seconds - elapsed + max(0.0, 1 - (limit.count - need) / current) * limit.seconds
