-- Cancels a job that nobody holds; of one that a worker holds, the worker is told.
--
-- ARGV  base, id, sha1 of the record that was read, record of the cancelled job, its time to live (ms), key or '',
--       parent as JSON or ''
--
-- Answers `cancelled`, `told`, `ended`, or `changed` where the record is not the one that was read.

local base, id = ARGV[1], ARGV[2]
local name = base .. 'job:' .. id
if redis.call('HEXISTS', base .. 'held', id) == 1 then
  redis.call('HSET', base .. 'signals', id, 'cancel')
  return 'told'
end
local known = record_of(base, id)
if known and redis.sha1hex(known) ~= ARGV[3] then return 'changed' end
if not known or not take_out(base, id) then return 'ended' end
redis.call('SET', name, ARGV[4], 'PX', ARGV[5])
if ARGV[6] ~= '' then free_key(base, ARGV[6], id) end
redis.call('HDEL', base .. 'place', id)
redis.call('HDEL', base .. 'stalls', id)
redis.call('HDEL', base .. 'broken', id)
redis.call('HINCRBY', base .. 'stats', 'cancelled', 1)
if ARGV[7] ~= '' then
  redis.call('HDEL', base .. 'parents', id)
  tell_parent(cjson.decode(ARGV[7]), id, 'cancelled')
end
return 'cancelled'
