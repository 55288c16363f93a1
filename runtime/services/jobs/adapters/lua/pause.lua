-- Lets no worker, or all of them, begin jobs of a queue.   ARGV  base, '1' or '0'

local base = ARGV[1]
if ARGV[2] == '1' then
  redis.call('SET', base .. 'paused', '1')
else
  redis.call('DEL', base .. 'paused')
  wake(base)
end
return 1
