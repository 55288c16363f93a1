-- What every script begins with: the time, and the order in which jobs wait.
--
-- A waiting job's score is priority * STEP + tag. Lower runs first. Tags give groups fair turns (start-time fair
-- queueing, Goyal, Vin and Cheng 1996): a group's next job gets the larger of the group's own last tag and of the tag
-- that is being served, so that a group that comes late is served next to one with a long backlog. Jobs without a
-- group are one group: first in, first out. Negative tags are those of jobs that went back to the front.

local STEP = 2199023255552 -- 2^41

local moment = redis.call('TIME')
local now = moment[1] + moment[2] / 1000000

local tags, lines = {}, {}

-- The priority and the group of a job; `usual` is the priority of one that was given none.
local function placed(base, id, usual)
  local place = redis.call('HGET', base .. 'place', id)
  if not place then return usual, '' end
  local priority, group = string.match(place, '^([^:]*):(.*)$')
  return tonumber(priority) or usual, group
end

local function line_of(base, id, group)
  if group ~= '' and redis.call('EXISTS', base .. 'parked:' .. group) == 1 then return 'parked:' .. group end
  return 'waiting'
end

local function stand(base, name, score, id)
  local of = lines[base] or {}
  lines[base] = of
  local line = of[name] or {}
  of[name] = line
  line[#line + 1] = score
  line[#line + 1] = id
end

-- A job takes its place behind those of its priority and group.
local function line_up(base, id, priority, group)
  local of = tags[base] or {}
  tags[base] = of
  local name = priority .. ':' .. group
  local tag = of[name]
  if not tag then
    local known = redis.call('HMGET', base .. 'turns', 'v:' .. priority, 'f:' .. name)
    tag = math.max(tonumber(known[1] or 0), tonumber(known[2] or 0))
  end
  of[name] = tag + 1
  stand(base, line_of(base, id, group), priority * STEP + tag, id)
end

-- A job goes back before those of its priority.
local function put_back(base, id, priority, group)
  local tag = redis.call('HINCRBY', base .. 'turns', 'front:' .. priority, -1)
  stand(base, line_of(base, id, group), priority * STEP + tag, id)
end

-- One worker that has nothing to do looks again.
local function wake(base)
  if redis.call('LLEN', base .. 'wake') == 0 then redis.call('RPUSH', base .. 'wake', '1') end
end

-- Stores the places that were taken. Answers whether there were any.
local function close_ranks()
  local any = false
  for base, named in pairs(lines) do
    for name, line in pairs(named) do
      for i = 1, #line, 1000 do redis.call('ZADD', base .. name, unpack(line, i, math.min(i + 999, #line))) end
    end
    any = true
  end
  for base, named in pairs(tags) do
    local fields = {}
    for name, tag in pairs(named) do
      fields[#fields + 1] = 'f:' .. name
      fields[#fields + 1] = string.format('%.0f', tag)
    end
    redis.call('HSET', base .. 'turns', unpack(fields))
  end
  lines, tags = {}, {}
  return any
end

-- Takes a job that nobody holds out of wherever it waits. Answers whether it was there.
local function take_out(base, id)
  if redis.call('ZREM', base .. 'waiting', id) == 1 then return true end
  if redis.call('ZREM', base .. 'delayed', id) == 1 then return true end
  if redis.call('ZREM', base .. 'resting', id) == 1 then return true end
  if redis.call('HDEL', base .. 'awaits', id) == 1 then return true end
  local _, group = placed(base, id, 0)
  return group ~= '' and redis.call('ZREM', base .. 'parked:' .. group, id) == 1
end

-- A record; nothing where there is none. A key of another type stops no script.
local function record_of(base, id)
  return redis.call('MGET', base .. 'job:' .. id)[1]
end

-- The unfinished job that has a key; false where there is none. The record of one that has ended has a time to live.
local function owner_of(base, key)
  local owner = redis.call('HGET', base .. 'keys', key)
  return owner and redis.call('PTTL', base .. 'job:' .. owner) == -1 and owner
end

local function free_key(base, key, id)
  if redis.call('HGET', base .. 'keys', key) == id then redis.call('HDEL', base .. 'keys', key) end
end

-- A job that was counted among those of its group that run is so no more.
local function leave_group(base, group)
  local running = tonumber(redis.call('HGET', base .. 'grouped', group))
  if not running then return end
  if running > 1 then
    redis.call('HINCRBY', base .. 'grouped', group, -1)
  else
    redis.call('HDEL', base .. 'grouped', group)
  end
  redis.call('ZADD', base .. 'limited', 'XX', 0, group)
end

-- A child has ended: its parent waits for one less. One that was released before, cancelled or replaced is not told.
local function tell_parent(parent, id, kind)
  local base = parent.base
  if redis.call('HEXISTS', base .. 'awaits', parent.id) == 0 then return end
  local left = redis.call('HINCRBY', base .. 'awaits', parent.id, -1)
  local fails = kind ~= 'completed' and not parent.run
  if redis.call('EXISTS', base .. 'job:' .. parent.id) == 0 then
    redis.call('HDEL', base .. 'awaits', parent.id)
  elseif left <= 0 or fails then
    if fails then redis.call('HSET', base .. 'broken', parent.id, id) end
    redis.call('HDEL', base .. 'awaits', parent.id)
    local priority, group = placed(base, parent.id, parent.usual)
    line_up(base, parent.id, priority, group)
    close_ranks()
    wake(base)
  end
end

-- How many of `count` may begin now under a rate, and seconds until one more may. A window slides: the starts of the
-- last `count` are remembered, and one more is free when the oldest of them has left the window.
local function permits(name, rate, count)
  local allowed = rate[1] - redis.call('LLEN', name)
  if allowed < count then
    for _, start in ipairs(redis.call('LRANGE', name, math.max(0, -allowed), count - allowed - 1)) do
      if tonumber(start) > now - rate[2] then break end
      allowed = allowed + 1
    end
  end
  if allowed >= count then return count, -1 end
  local first = redis.call('LINDEX', name, math.max(0, redis.call('LLEN', name) - rate[1] + math.max(0, allowed)))
  return math.max(0, allowed), math.max(0.001, (tonumber(first) or now) + rate[2] - now)
end

local function spend(name, rate, count)
  if count == 0 then return end
  local starts = {}
  for i = 1, count do starts[i] = string.format('%.6f', now) end
  local length = redis.call('RPUSH', name, unpack(starts))
  if length > rate[1] then redis.call('LTRIM', name, length - rate[1], -1) end
  redis.call('PEXPIRE', name, math.ceil(rate[2] * 1000))
end
