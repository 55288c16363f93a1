-- The figures of a queue.   ARGV  base, dead before (ms)
--
-- Answers {waiting, scheduled, running, dead, completed, failed, retried, workers alive, cancelled, paused one by one,
--          waiting for children, whether the queue is paused, seconds since the oldest is due or -1}.

local base = ARGV[1]
local waiting = redis.call('ZCARD', base .. 'waiting')
for _, group in ipairs(redis.call('ZRANGE', base .. 'limited', 0, 999)) do
  waiting = waiting + redis.call('ZCARD', base .. 'parked:' .. group)
end
local stats = redis.call('HMGET', base .. 'stats', 'completed', 'failed', 'retry', 'cancelled')
local overdue = redis.call('ZCOUNT', base .. 'delayed', '-inf', now)
return {
  waiting + overdue, redis.call('ZCARD', base .. 'delayed') - overdue, redis.call('HLEN', base .. 'held'),
  redis.call('ZCOUNT', base .. 'dead', '(' .. ARGV[2], '+inf'),
  tonumber(stats[1] or 0), tonumber(stats[2] or 0), tonumber(stats[3] or 0),
  redis.call('ZCOUNT', base .. 'workers', '(' .. now, '+inf'), tonumber(stats[4] or 0),
  redis.call('ZCARD', base .. 'resting'), redis.call('HLEN', base .. 'awaits'),
  redis.call('EXISTS', base .. 'paused'),
}
