-- A worker shows that it is alive, and takes jobs over from those that are gone.
--
-- ARGV  base, worker, lease (s), prefix of this instance's workers, prefix of this process's workers, most jobs at once,
--       times that a job may lose its worker, usual priority, whether groups have limits ('1')
--
-- A worker of this instance in another process is gone for certain: the instance's lock lets only one process run.
-- Any other is gone when its lease has expired, unless no worker at all could be seen for a while: then the server was
-- away, and those that are alive get time to say so.
--
-- Answers {id and signal of jobs that are told something, id and record and 'cancel' or times lost of jobs that are now
--          this worker's to end, jobs put back, whether there are more}.

local base, worker, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local instance, process, most = ARGV[4], ARGV[5], tonumber(ARGV[6])
local lives, usual, limited = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9] == '1'
local REMEMBERED = 500

redis.call('ZADD', base .. 'workers', now + lease, worker)
local pulse = redis.call('HMGET', base .. 'pulse', 'last', 'calm')
local last, calm = tonumber(pulse[1] or now), tonumber(pulse[2] or 0)
if now - last > lease / 2 then
  calm = now + lease / 2
  redis.call('HSET', base .. 'pulse', 'calm', string.format('%.6f', calm))
end
redis.call('HSET', base .. 'pulse', 'last', string.format('%.6f', now))

local gone, some = {}, false
local known = redis.call('ZRANGE', base .. 'workers', 0, -1, 'WITHSCORES')
for i = 1, #known, 2 do
  local name, silent = known[i], tonumber(known[i + 1]) <= now and now >= calm
  local former = instance ~= '' and string.sub(name, 1, #instance) == instance and string.sub(name, 1, #process) ~= process
  if silent or former then gone[name], some = true, true end
end

local back, more = 0, false
local function take_over(id, token)
  local times = redis.call('HINCRBY', base .. 'stalls', id, 1)
  local priority, group = placed(base, id, usual)
  local signal = redis.call('HGET', base .. 'signals', id)
  local why = signal == 'cancel' and 'cancel' or times > lives and tostring(times)
  if why then
    redis.call('HSET', base .. 'held', id, worker .. '#0')
    redis.call('HSET', base .. 'buried', id, why)
    return
  end
  if group ~= '' then leave_group(base, group) end
  if signal == 'pause' then
    redis.call('ZADD', base .. 'resting', now, id)
    redis.call('HDEL', base .. 'signals', id)
  else
    put_back(base, id, priority, group)
    close_ranks()
  end
  redis.call('HDEL', base .. 'held', id)
end

if some then
  local cursor = '0'
  repeat
    local page = redis.call('HSCAN', base .. 'held', cursor, 'COUNT', 500)
    cursor = page[1]
    for i = 1, #page[2], 2 do
      local id, token = page[2][i], page[2][i + 1]
      if gone[string.match(token, '^(.*)#') or ''] then
        if back >= most then more = true break end
        back = back + 1
        take_over(id, token)
      end
    end
  until cursor == '0' or more
  if back > 0 then wake(base) end
  if not more then
    for name in pairs(gone) do redis.call('ZREM', base .. 'workers', name) end
  end
end

-- Told until they are ended: an answer may get lost.
local mine = {}
if redis.call('EXISTS', base .. 'buried') == 1 then
  local buried = redis.call('HGETALL', base .. 'buried')
  for i = 1, #buried, 2 do
    local id, holder = buried[i], redis.call('HGET', base .. 'held', buried[i]) or ''
    if holder == worker .. '#0' then
      mine[#mine + 1] = id
      mine[#mine + 1] = record_of(base, id) or ''
      mine[#mine + 1] = buried[i + 1]
    elseif string.sub(holder, -2) ~= '#0' then
      redis.call('HDEL', base .. 'buried', id)
    end
  end
end

-- Groups at their limit are looked at again: it may have been changed. Where there is none any more, they stand in line.
local full = redis.call('ZRANGEBYSCORE', base .. 'limited', limited and '+inf' or '-inf', '+inf', 'LIMIT', 0, 100)
for _, group in ipairs(full) do
  if limited then
    redis.call('ZADD', base .. 'limited', 0, group)
  else
    local parked = redis.call('ZPOPMIN', base .. 'parked:' .. group, 500)
    for i = 1, #parked, 2 do redis.call('ZADD', base .. 'waiting', parked[i + 1], parked[i]) end
    if #parked < 1000 then redis.call('ZREM', base .. 'limited', group) end
  end
end
if #full > 0 then wake(base) end

-- Groups that have had no job for long are forgotten: their last tag is behind the one that is served.
if redis.call('HLEN', base .. 'turns') > REMEMBERED then
  local served, forgotten = {}, {}
  local page = redis.call('HSCAN', base .. 'turns', redis.call('HGET', base .. 'pulse', 'cursor') or '0', 'COUNT', 200)
  redis.call('HSET', base .. 'pulse', 'cursor', page[1])
  for i = 1, #page[2], 2 do
    local priority, group = string.match(page[2][i], '^f:([^:]*):(.*)$')
    if priority and group ~= '' then
      served[priority] = served[priority] or tonumber(redis.call('HGET', base .. 'turns', 'v:' .. priority) or 0)
      if tonumber(page[2][i + 1]) <= served[priority] then forgotten[#forgotten + 1] = page[2][i] end
    end
  end
  if #forgotten > 0 then redis.call('HDEL', base .. 'turns', unpack(forgotten)) end
end

return {redis.call('HGETALL', base .. 'signals'), mine, back, more and 1 or 0}
