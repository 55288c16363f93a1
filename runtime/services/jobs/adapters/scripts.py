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
    stats        hash    how many have completed, failed, been cancelled, been retried
    cancelling   set     held records whose holder is told to end them; they go back to no queue
    paused       string  there while no worker claims jobs of the queue

All but the records and the names are structures that live as long as the queue. Times are the server's, in seconds,
but for `dead`.
"""

from __future__ import annotations

from typing import Final

ENQUEUE: Final = """
-- KEYS incomplete queued keys, then record and once of each job
-- ARGV json scheduled key id once_ms of each job ('' where it has no such name)
-- All are stored, or none: where names are taken, answers with the number of each such job (from 0), who has its name,
-- and which name it is. The same jobs sent again, because the answer to the first call was lost, are there already.
local count = (#KEYS - 3) / 2
for i = 1, count do
  if redis.call('EXISTS', KEYS[2 * i + 2]) == 1 then return {} end
end
local taken = {}
local function refuse(i, owner, name)
  taken[#taken + 1] = i - 1
  taken[#taken + 1] = owner
  taken[#taken + 1] = name
end
for i = 1, count do
  local key, id, lasting = ARGV[5 * i - 2], ARGV[5 * i - 1], ARGV[5 * i]
  local given = lasting ~= '' and redis.call('GET', KEYS[2 * i + 3])
  local owner = key ~= '' and redis.call('HGET', KEYS[3], key)
  if given == id then return {} end
  if given then refuse(i, given, 'once') elseif owner then refuse(i, owner, 'key') end
end
if #taken > 0 then return taken end
for i = 1, count do
  local record, once = KEYS[2 * i + 2], KEYS[2 * i + 3]
  local json, scheduled, key, id, lasting = unpack(ARGV, 5 * i - 4, 5 * i)
  redis.call('SET', record, json)
  redis.call('ZADD', KEYS[1], scheduled, record)
  if key ~= '' then redis.call('HSET', KEYS[3], key, id) end
  if lasting ~= '' then redis.call('SET', once, id, 'PX', lasting) end
  if scheduled == '0' then redis.call('RPUSH', KEYS[2], record) end
end
return {}
"""

UPDATE: Final = """
-- KEYS active record cancelling   ARGV json
-- Answers with 1, with 0 where the worker does not hold it any more, with 2 where it is to be cancelled.
if not redis.call('LPOS', KEYS[1], KEYS[2]) then return 0 end
if redis.call('SISMEMBER', KEYS[3], KEYS[2]) == 1 then return 2 end
redis.call('SET', KEYS[2], ARGV[1])
return 1
"""

FINISH: Final = """
-- KEYS active record incomplete keys stats ended dead cancelling
-- ARGV json ttl_ms key id outcome keep now_ms dead_before_ms
-- Answers as UPDATE does: a job that is to be cancelled may complete, but not fail.
if not redis.call('LPOS', KEYS[1], KEYS[2]) then return 0 end
if ARGV[5] == 'failed' and redis.call('SISMEMBER', KEYS[8], KEYS[2]) == 1 then return 2 end
redis.call('LREM', KEYS[1], 0, KEYS[2])
redis.call('SREM', KEYS[8], KEYS[2])
redis.call('ZREM', KEYS[3], KEYS[2])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
if ARGV[3] ~= '' and redis.call('HGET', KEYS[4], ARGV[3]) == ARGV[4] then redis.call('HDEL', KEYS[4], ARGV[3]) end
redis.call('HINCRBY', KEYS[5], ARGV[5], 1)
if ARGV[5] == 'cancelled' then return 1 end
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
-- KEYS active record incomplete queued stats cancelling   ARGV json scheduled
-- Answers as UPDATE does.
if not redis.call('LPOS', KEYS[1], KEYS[2]) then return 0 end
if redis.call('SISMEMBER', KEYS[6], KEYS[2]) == 1 then return 2 end
redis.call('LREM', KEYS[1], 0, KEYS[2])
redis.call('SET', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[2], KEYS[2])
if ARGV[2] == '0' then redis.call('RPUSH', KEYS[4], KEYS[2]) end
redis.call('HINCRBY', KEYS[5], 'retried', 1)
return 1
"""

RETURN: Final = """
-- KEYS active record queued cancelling   ARGV json ('' leaves the record as it is)
-- Answers as UPDATE does.
if not redis.call('LPOS', KEYS[1], KEYS[2]) then return 0 end
if redis.call('SISMEMBER', KEYS[4], KEYS[2]) == 1 then return 2 end
redis.call('LREM', KEYS[1], 0, KEYS[2])
if ARGV[1] ~= '' then redis.call('SET', KEYS[2], ARGV[1]) end
redis.call('LPUSH', KEYS[3], KEYS[2])
return 1
"""

CANCEL: Final = """
-- KEYS record incomplete queued keys stats cancelling   ARGV sha1 json ttl_ms key id
-- A job that nobody holds is cancelled; of one that a worker holds, the worker is told. Answers with 'cancelled',
-- 'told', 'ended', or 'changed' where the record is not the one that was read (sha1).
local score = redis.call('ZSCORE', KEYS[2], KEYS[1])
if not score then return 'ended' end
local waits = tonumber(score) > 0 or redis.call('LPOS', KEYS[3], KEYS[1])
if not waits then
  redis.call('SADD', KEYS[6], KEYS[1])
  return 'told'
end
local known = redis.call('GET', KEYS[1])
if not known or redis.sha1hex(known) ~= ARGV[1] then return 'changed' end
redis.call('LREM', KEYS[3], 0, KEYS[1])
redis.call('ZREM', KEYS[2], KEYS[1])
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if ARGV[4] ~= '' and redis.call('HGET', KEYS[4], ARGV[4]) == ARGV[5] then redis.call('HDEL', KEYS[4], ARGV[4]) end
redis.call('HINCRBY', KEYS[5], 'cancelled', 1)
return 'cancelled'
"""

DEAD: Final = """
-- KEYS dead   ARGV dead_before_ms after_ms after_record most   (after_ms is '' for the first page)
-- Answers with records, the newest first; those that have expired are passed over.
local found, offset, most = {}, 0, tonumber(ARGV[4])
local from = ARGV[2] == '' and '+inf' or ARGV[2]
while #found < most do
  local page = redis.call(
    'ZREVRANGEBYSCORE', KEYS[1], from, '(' .. ARGV[1], 'WITHSCORES', 'LIMIT', offset, most)
  if #page == 0 then break end
  offset = offset + #page / 2
  for i = 1, #page, 2 do
    local shown = tonumber(page[i + 1]) == tonumber(ARGV[2]) and page[i] >= ARGV[3]
    local json = not shown and #found < most and redis.call('GET', page[i])
    if json then found[#found + 1] = json end
  end
end
return found
"""

REPLAY: Final = """
-- KEYS dead incomplete queued keys record...   ARGV sha1 json key id, of each record
-- Puts failed jobs back, as long as their records are those that were read (sha1). Answers for each with '1', with ''
-- where it has changed, or with the id of the job that has its key.
local outcomes = {}
for i = 1, #KEYS - 4 do
  local record, sha1, json, key, id = KEYS[4 + i], ARGV[4 * i - 3], ARGV[4 * i - 2], ARGV[4 * i - 1], ARGV[4 * i]
  local known = redis.call('GET', record)
  local owner = key ~= '' and redis.call('HGET', KEYS[4], key)
  if not known or redis.sha1hex(known) ~= sha1 then
    outcomes[i] = ''
  elseif owner then
    outcomes[i] = owner
  else
    redis.call('ZREM', KEYS[1], record)
    redis.call('SET', record, json)
    redis.call('ZADD', KEYS[2], 0, record)
    redis.call('RPUSH', KEYS[3], record)
    if key ~= '' then redis.call('HSET', KEYS[4], key, id) end
    outcomes[i] = '1'
  end
end
return outcomes
"""

TICK: Final = """
-- KEYS workers incomplete queued cancelling paused   ARGV worker lease most
-- Answers with the seconds until the next job is due, -1 for none, with whether the queue is paused, and with the
-- records that are to be cancelled.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '(0', now, 'LIMIT', 0, ARGV[3])
for _, record in ipairs(due) do
  redis.call('ZADD', KEYS[2], 0, record)
  redis.call('RPUSH', KEYS[3], record)
end
local following = redis.call('ZRANGEBYSCORE', KEYS[2], '(0', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local pause = following[2] and math.max(0, tonumber(following[2]) - now) or -1
return {tostring(pause), redis.call('EXISTS', KEYS[5]), unpack(redis.call('SRANDMEMBER', KEYS[4], ARGV[3]))}
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
-- KEYS queued incomplete workers dead stats paused   ARGV prefix dead_before_ms
local time = redis.call('TIME')
local running = 0
for _, worker in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
  running = running + redis.call('LLEN', ARGV[1] .. 'active:' .. worker)
end
local stats = redis.call('HMGET', KEYS[5], 'completed', 'failed', 'retried', 'cancelled')
return {
  redis.call('LLEN', KEYS[1]), redis.call('ZCOUNT', KEYS[2], '(0', '+inf'), running,
  redis.call('ZCOUNT', KEYS[4], '(' .. ARGV[2], '+inf'),
  tonumber(stats[1] or 0), tonumber(stats[2] or 0), tonumber(stats[3] or 0),
  redis.call('ZCOUNT', KEYS[3], '(' .. time[1], '+inf'), tonumber(stats[4] or 0),
  redis.call('EXISTS', KEYS[6]),
}
"""
