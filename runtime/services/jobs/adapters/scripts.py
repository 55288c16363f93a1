"""What the queues do inside the Redis server, where nothing comes between the steps.

The keys of a queue, all with one hash tag, so that a cluster keeps them together:

    queued       list    records that may run, oldest first
    incomplete   zset    records that have not ended; the score is when they may run, 0 for at once
    job:<id>     string  a record; it has a time to live once the job has ended
    workers      zset    workers that may hold jobs; the score is until when each counts as alive
    active:<w>   list    records that the worker holds; being in it is the right to change the record
    keys         hash    the key of an unfinished job -> its id
    once:<name>  string  the id of the job that was given the name; it has a time to live
    ended        list    completed records, newest first, at most `keep`
    dead         zset    failed records; the score is when they failed
    stats        hash    how many have completed, failed, been retried

All but the records and the names are structures that live as long as the queue. Times are the server's, in seconds,
but for `dead`.
"""

from __future__ import annotations

from typing import Final

ENQUEUE: Final = """
-- KEYS record incomplete queued keys once   ARGV json scheduled key id once_ms ('' where it has no such name)
-- The same job sent again, because the answer to the first call was lost, is there already.
if redis.call('EXISTS', KEYS[1]) == 1 then return 'stored' end
if ARGV[5] ~= '' then
  local given = redis.call('GET', KEYS[5])
  if given == ARGV[4] then return 'stored' end
  if given then return {given, 'once'} end
end
if ARGV[3] ~= '' and redis.call('HSETNX', KEYS[4], ARGV[3], ARGV[4]) == 0 then
  return {redis.call('HGET', KEYS[4], ARGV[3]), 'key'}
end
if ARGV[5] ~= '' then redis.call('SET', KEYS[5], ARGV[4], 'PX', ARGV[5]) end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[2], KEYS[1])
if ARGV[2] == '0' then redis.call('RPUSH', KEYS[3], KEYS[1]) end
return 'stored'
"""

UPDATE: Final = """
-- KEYS active record   ARGV json
if not redis.call('LPOS', KEYS[1], KEYS[2]) then return 0 end
redis.call('SET', KEYS[2], ARGV[1])
return 1
"""

FINISH: Final = """
-- KEYS active record incomplete keys stats ended dead
-- ARGV json ttl_ms key id outcome keep now_ms dead_before_ms
if redis.call('LREM', KEYS[1], 0, KEYS[2]) == 0 then return 0 end
redis.call('ZREM', KEYS[3], KEYS[2])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
if ARGV[3] ~= '' and redis.call('HGET', KEYS[4], ARGV[3]) == ARGV[4] then redis.call('HDEL', KEYS[4], ARGV[3]) end
redis.call('HINCRBY', KEYS[5], ARGV[5], 1)
if ARGV[5] == 'completed' then
  redis.call('LPUSH', KEYS[6], KEYS[2])
  while redis.call('LLEN', KEYS[6]) > tonumber(ARGV[6]) do redis.call('DEL', redis.call('RPOP', KEYS[6])) end
else
  redis.call('ZREMRANGEBYSCORE', KEYS[7], '-inf', ARGV[8])
  redis.call('ZADD', KEYS[7], ARGV[7], KEYS[2])
end
return 1
"""

RETRY: Final = """
-- KEYS active record incomplete queued stats   ARGV json scheduled
if redis.call('LREM', KEYS[1], 0, KEYS[2]) == 0 then return 0 end
redis.call('SET', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[2], KEYS[2])
if ARGV[2] == '0' then redis.call('RPUSH', KEYS[4], KEYS[2]) end
redis.call('HINCRBY', KEYS[5], 'retried', 1)
return 1
"""

RETURN: Final = """
-- KEYS active record queued   ARGV json ('' leaves the record as it is)
if redis.call('LREM', KEYS[1], 0, KEYS[2]) == 0 then return 0 end
if ARGV[1] ~= '' then redis.call('SET', KEYS[2], ARGV[1]) end
redis.call('LPUSH', KEYS[3], KEYS[2])
return 1
"""

TICK: Final = """
-- KEYS workers incomplete queued   ARGV worker lease most
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '(0', now, 'LIMIT', 0, ARGV[3])
for _, record in ipairs(due) do
  redis.call('ZADD', KEYS[2], 0, record)
  redis.call('RPUSH', KEYS[3], record)
end
local following = redis.call('ZRANGEBYSCORE', KEYS[2], '(0', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
if following[2] then return tostring(math.max(0, tonumber(following[2]) - now)) end
return '-1'
"""

ORPHANS: Final = """
-- KEYS workers   ARGV prefix instance process most
-- Answers with records of workers that are gone, as worker, record, worker, record ...
-- A worker of my own instance in another process is gone for certain: the instance's lock lets only one process run.
-- One that is gone is remembered for a minute more: a claim of its that still waits at the server may yet be answered.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local found = {}
local known = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #known, 2 do
  local worker, until_ = known[i], tonumber(known[i + 1])
  local gone = string.sub(worker, 1, #ARGV[2]) == ARGV[2] and string.sub(worker, 1, #ARGV[3]) ~= ARGV[3]
  if gone or until_ <= now then
    local held = redis.call('LRANGE', ARGV[1] .. 'active:' .. worker, 0, ARGV[4] - 1)
    if #held == 0 and until_ <= now - 60 then redis.call('ZREM', KEYS[1], worker) end
    for _, record in ipairs(held) do
      found[#found + 1] = worker
      found[#found + 1] = record
    end
  end
end
return found
"""

LEAVE: Final = """
-- KEYS workers   ARGV worker
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], 'XX', time[1], ARGV[1])
return 1
"""

COUNTS: Final = """
-- KEYS queued incomplete workers dead stats   ARGV prefix dead_before_ms
local time = redis.call('TIME')
local running = 0
for _, worker in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
  running = running + redis.call('LLEN', ARGV[1] .. 'active:' .. worker)
end
local stats = redis.call('HMGET', KEYS[5], 'completed', 'failed', 'retried')
return {
  redis.call('LLEN', KEYS[1]), redis.call('ZCOUNT', KEYS[2], '(0', '+inf'), running,
  redis.call('ZCOUNT', KEYS[4], '(' .. ARGV[2], '+inf'),
  tonumber(stats[1] or 0), tonumber(stats[2] or 0), tonumber(stats[3] or 0),
  redis.call('ZCOUNT', KEYS[3], '(' .. time[1], '+inf'),
}
"""
