-- A single job that was laid aside waits again.   ARGV  base, id, usual priority
--
-- Answers `queued`, or `not paused`.

local base, id = ARGV[1], ARGV[2]
if redis.call('ZREM', base .. 'resting', id) == 0 then
  if redis.call('HGET', base .. 'signals', id) ~= 'pause' then return 'not paused' end
  redis.call('HDEL', base .. 'signals', id) -- it has not been laid aside yet
  return 'queued'
end
local priority, group = placed(base, id, tonumber(ARGV[3]))
line_up(base, id, priority, group)
close_ranks()
wake(base)
return 'queued'
