-- Lays a single job aside; of one that a worker holds, the worker is told.   ARGV  base, id
--
-- Answers `paused`, `told` or `ended`.

local base, id = ARGV[1], ARGV[2]
if redis.call('HEXISTS', base .. 'held', id) == 1 then
  redis.call('HSETNX', base .. 'signals', id, 'pause')
  return 'told'
end
if redis.call('HEXISTS', base .. 'awaits', id) == 1 or not take_out(base, id) then return 'ended' end
redis.call('ZADD', base .. 'resting', now, id)
return 'paused'
