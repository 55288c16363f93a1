-- A worker hands in what its tries came to, and gets jobs for the slots that are free: all in one call.
--
-- ARGV  base, worker, lease (s), token of this call's claims, jobs wanted, most that may run over all workers or -1,
--       usual priority, completed jobs kept, dead jobs' time to live (ms), limits as JSON or '', number of outcomes;
--       of each outcome: id, token of its claim, what it came to, record, a number, options as JSON or ''
-- The number is the time to live (ms) of an ended job, the delay (s) of one to be tried again.
-- The options: at (when it failed, ms), key, placed, group, parent {base, id, usual, run}, events {stream, most, fields}.
-- The limits: rate {count, window (s)}, group_slots, group_rate {count, window (s)}.
--
-- Answers {ids that the worker does not hold, ids that are to be cancelled and were left as they are,
--          ids claimed, their records, why they must fail at once or false, seconds until a look is worth it or -1}.

local base, worker, lease, token = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local want, most, usual = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local keep, dead_ttl = tonumber(ARGV[8]), tonumber(ARGV[9])
local limits = ARGV[10] ~= '' and cjson.decode(ARGV[10]) or {}
local outcomes = tonumber(ARGV[11])
local FIRST, FIELDS = 12, 6
local ENDS = {completed = true, failed = true, cancelled = true}
local HEEDS = {failed = true, retry = true, back = true, paused = true}

-- A call that its worker has given up does nothing any more: see `claimed.lua`.
local hindered = redis.call('EXISTS', base .. 'paused', base .. 'void:' .. token) > 0
if hindered and redis.call('EXISTS', base .. 'void:' .. token) == 1 then return {{}, {}, {}, {}, {}, '-1'} end

local lost, told = {}, {}
local peculiar = false -- whether any job has a signal, has lost a worker, has a failed child or counts for its group
local returned = false

local function settle(id, kind, record, number, asked)
  local name = base .. 'job:' .. id
  if kind == 'completed' then
    if keep == 0 or number == '0' then redis.call('DEL', name) else redis.call('SET', name, record, 'PX', number) end
  elseif kind == 'failed' then
    redis.call('SET', name, record, 'PX', number)
    redis.call('ZADD', base .. 'dead', asked.at, id)
  elseif kind == 'cancelled' then
    redis.call('SET', name, record, 'PX', number)
  elseif kind == 'gone' then
    local _, group = placed(base, id, usual)
    if group ~= '' then leave_group(base, group) end
    redis.call('HDEL', base .. 'place', id)
    redis.call('HDEL', base .. 'broken', id)
    local parent = redis.call('HGET', base .. 'parents', id) -- its own record does not say it any more
    if parent then
      redis.call('HDEL', base .. 'parents', id)
      tell_parent(cjson.decode(parent), id, kind)
    end
    if redis.call('PTTL', name) == -1 then redis.call('PEXPIRE', name, dead_ttl) end
  else
    if record ~= '' then redis.call('SET', name, record) end
    if kind == 'paused' then
      redis.call('ZADD', base .. 'resting', now, id)
    elseif kind == 'retry' and tonumber(number) > 0 then
      redis.call('ZADD', base .. 'delayed', now + tonumber(number), id)
    else
      local priority, group = usual, ''
      if asked and asked.placed then priority, group = placed(base, id, usual) end
      if kind == 'retry' then line_up(base, id, priority, group) else put_back(base, id, priority, group) end
      returned = true
    end
  end
  if not asked then return end
  if asked.group and peculiar then leave_group(base, asked.group) end
  for _, event in ipairs(asked.events or {}) do -- a stream that does not take it is no reason to keep the job
    redis.pcall('XADD', event.stream, 'MAXLEN', '~', event.most, '*', unpack(event.fields))
  end
  if ENDS[kind] then
    if asked.key then free_key(base, asked.key, id) end
    if asked.placed then redis.call('HDEL', base .. 'place', id) end
    if asked.parent then
      redis.call('HDEL', base .. 'parents', id)
      tell_parent(asked.parent, id, kind)
    end
  end
end

if outcomes > 0 then
  local ids, done, ended, completed, counts = {}, {}, {}, {}, {}
  for k = 1, outcomes do ids[k] = ARGV[FIRST + (k - 1) * FIELDS] end
  local holders = redis.call('HMGET', base .. 'held', unpack(ids))
  peculiar = redis.call('EXISTS', base .. 'signals', base .. 'stalls', base .. 'broken', base .. 'grouped') > 0
  for k = 1, outcomes do
    local at = FIRST + (k - 1) * FIELDS
    local id, kind, options = ids[k], ARGV[at + 2], ARGV[at + 5]
    if holders[k] ~= ARGV[at + 1] then
      lost[#lost + 1] = id
    else
      local signal = peculiar and HEEDS[kind] and redis.call('HGET', base .. 'signals', id)
      if signal == 'pause' and kind ~= 'failed' then kind = 'paused' end
      if signal == 'cancel' then
        told[#told + 1] = id
      else
        settle(id, kind, ARGV[at + 3], ARGV[at + 4], options ~= '' and cjson.decode(options))
        done[#done + 1] = id
        if ENDS[kind] then ended[#ended + 1] = id end
        counts[kind] = (counts[kind] or 0) + 1
        if kind == 'completed' and keep > 0 then completed[#completed + 1] = id end
      end
    end
  end
  if close_ranks() then returned = true end -- before it is held no more: an error in between loses no job
  if #done > 0 then
    redis.call('HDEL', base .. 'held', unpack(done))
    if peculiar then
      redis.call('HDEL', base .. 'signals', unpack(done))
      redis.call('HDEL', base .. 'stalls', unpack(done))
      if #ended > 0 then redis.call('HDEL', base .. 'broken', unpack(ended)) end
    end
    for kind, number in pairs(counts) do redis.call('HINCRBY', base .. 'stats', kind, number) end
  end
  if #completed > 0 then
    local over = redis.call('LPUSH', base .. 'ended', unpack(completed)) - keep
    if over > 0 then
      local gone = redis.call('RPOP', base .. 'ended', math.min(over, 1000))
      for i, id in ipairs(gone) do gone[i] = base .. 'job:' .. id end
      redis.call('UNLINK', unpack(gone))
    end
  end
  if counts.failed then
    redis.call('ZREMRANGEBYSCORE', base .. 'dead', '-inf', string.format('%.0f', now * 1000 - dead_ttl))
  end
end

local due = redis.call('ZRANGEBYSCORE', base .. 'delayed', '-inf', now, 'LIMIT', 0, 500)
if #due > 0 then
  for _, id in ipairs(due) do
    local priority, group = placed(base, id, usual)
    line_up(base, id, priority, group)
  end
  close_ranks()
  redis.call('ZREM', base .. 'delayed', unpack(due))
  returned = true
end

local pause = -1
local function sooner(seconds)
  if seconds >= 0 and (pause < 0 or seconds < pause) then pause = seconds end
end

-- Whether a job of a group may begin now; where not, when the group is looked at again.
local function admitted(group)
  if limits.group_slots then
    local running = tonumber(redis.call('HGET', base .. 'grouped', group) or 0)
    if running >= limits.group_slots then return false, '+inf' end
  end
  if limits.group_rate then
    local allowed, wait = permits(base .. 'starts:' .. group, limits.group_rate, 1)
    if allowed == 0 then return false, now + wait end
    spend(base .. 'starts:' .. group, limits.group_rate, 1)
  end
  if limits.group_slots then redis.call('HINCRBY', base .. 'grouped', group, 1) end
  return true
end

-- Of groups whose time has come, as many jobs stand in the line again as may begin.
local function reopen()
  for _, group in ipairs(redis.call('ZRANGEBYSCORE', base .. 'limited', '-inf', now, 'LIMIT', 0, 100)) do
    local free, again = want, now
    if limits.group_rate then
      local allowed, wait = permits(base .. 'starts:' .. group, limits.group_rate, want)
      free, again = allowed, now + math.max(0, wait)
    end
    if limits.group_slots then
      local slots = limits.group_slots - tonumber(redis.call('HGET', base .. 'grouped', group) or 0)
      if slots <= 0 then free, again = 0, '+inf' elseif slots < free then free, again = slots, '+inf' end
    end
    local parked = free > 0 and redis.call('ZPOPMIN', base .. 'parked:' .. group, free) or {}
    for i = 1, #parked, 2 do redis.call('ZADD', base .. 'waiting', parked[i + 1], parked[i]) end
    if redis.call('EXISTS', base .. 'parked:' .. group) == 1 then
      redis.call('ZADD', base .. 'limited', again, group)
    else
      redis.call('ZREM', base .. 'limited', group)
    end
  end
end

local ids, served = {}, {}
local function hold(popped)
  local held = {}
  for i = 1, #popped, 2 do
    local id, score = popped[i], tonumber(popped[i + 1])
    local free, again = true, nil
    local priority, group = usual, ''
    if limits.group_slots or limits.group_rate then
      priority, group = placed(base, id, usual)
      if group ~= '' then free, again = admitted(group) end
    end
    if free then
      ids[#ids + 1] = id
      held[#held + 1] = id
      held[#held + 1] = token
      priority = math.floor(score / STEP + 0.5)
      local tag = score - priority * STEP
      if tag >= 0 then served['v:' .. priority] = tag end
    else
      -- the whole group leaves the line, so that those behind it are reached
      redis.call('ZADD', base .. 'parked:' .. group, popped[i + 1], id)
      redis.call('ZADD', base .. 'limited', again, group)
    end
  end
  if #held > 0 then redis.call('HSET', base .. 'held', unpack(held)) end
end

-- Takes jobs out of the line, so many at most, and holds those that may begin; what cannot be held stands in it again.
local function claim(count)
  local popped = redis.call('ZPOPMIN', base .. 'waiting', count)
  local done, problem = pcall(hold, popped)
  if not done then
    for i = 1, #popped, 2 do redis.call('ZADD', base .. 'waiting', popped[i + 1], popped[i]) end
    error(problem, 0)
  end
  return #popped / 2
end

local records, broken = {}, {}
if want > 0 and not hindered then
  local room = want
  if most >= 0 then room = math.min(room, most - redis.call('HLEN', base .. 'held')) end
  if limits.rate and room > 0 then
    local allowed, wait = permits(base .. 'starts', limits.rate, room)
    room = math.min(room, allowed)
    sooner(wait)
  end
  if limits.group_slots or limits.group_rate then reopen() end
  local rounds = 0
  while #ids < room do
    if rounds == 20 then -- those in front may not begin: the next call goes on behind them
      sooner(0.001)
      break
    end
    rounds = rounds + 1
    if claim(room - #ids) == 0 then break end
  end
  if #ids > 0 then
    redis.call('ZADD', base .. 'workers', 'NX', now + lease, worker)
    local names, fields = {}, {}
    for i, id in ipairs(ids) do names[i] = base .. 'job:' .. id end
    records = redis.call('MGET', unpack(names))
    for name, tag in pairs(served) do
      fields[#fields + 1] = name
      fields[#fields + 1] = string.format('%.0f', tag)
    end
    if #fields > 0 then redis.call('HSET', base .. 'turns', unpack(fields)) end
    if redis.call('EXISTS', base .. 'broken') == 1 then
      broken = redis.call('HMGET', base .. 'broken', unpack(ids))
    end
    if limits.rate then spend(base .. 'starts', limits.rate, #ids) end
  end
  if #ids == room and (most < 0 or redis.call('HLEN', base .. 'held') < most) then
    if room == want and redis.call('ZCARD', base .. 'waiting') > 0 then wake(base) end
  end
  if #ids < want then
    local following = redis.call('ZRANGE', base .. 'delayed', 0, 0, 'WITHSCORES')
    if following[2] then sooner(math.max(0.001, tonumber(following[2]) - now)) end
    local reopening = redis.call('ZRANGE', base .. 'limited', 0, 0, 'WITHSCORES')
    if reopening[2] and reopening[2] ~= 'inf' then sooner(math.max(0.001, tonumber(reopening[2]) - now)) end
  end
elseif returned or outcomes > 0 then
  if redis.call('ZCARD', base .. 'waiting') > 0 then wake(base) end
end
return {lost, told, ids, records, broken, tostring(pause)}
