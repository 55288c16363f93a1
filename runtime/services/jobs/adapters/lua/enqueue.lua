-- Stores jobs of one or more queues: all of them, or none.
--
-- ARGV  number of queues, then base and usual priority of each;
--       of each job: its queue's number, id, record, delay in seconds, priority or '', group, options as JSON or ''
-- The options: key, policy, window (ms), once, once_for (ms), awaits, parent (as JSON).
--
-- Answers {'stored', number, id, how, ...} with those that another job stands for (`replaced`, `throttled`), numbers
-- from 0; or {'taken', number, id of the owner, 'key' or 'once', ...}. The same jobs sent again, because the answer to
-- the first call was lost, are there already.

local queues = tonumber(ARGV[1])
local first = 2 + 2 * queues
local bases, usual = {}, {}
for q = 1, queues do
  bases[q] = ARGV[2 * q]
  usual[q] = tonumber(ARGV[2 * q + 1])
end
local count = (#ARGV - first + 1) / 7

local taken, options, certain = {'taken'}, {}, nil -- `certain` is the first record that no other job stands for
for i = 1, count do
  local at = first + (i - 1) * 7
  local base, id, asked = bases[tonumber(ARGV[at])], ARGV[at + 1], ARGV[at + 6] ~= '' and cjson.decode(ARGV[at + 6])
  if not certain and not (asked and asked.key and asked.policy ~= 'reject') then certain = base .. 'job:' .. id end
  if asked then
    options[i] = asked
    local owner, name = false, 'once'
    if asked.once then
      owner = redis.call('GET', base .. 'once:' .. asked.once)
      if owner == id then return {'stored'} end
    end
    if not owner and asked.key and asked.policy == 'reject' then
      owner, name = owner_of(base, asked.key), 'key'
    end
    if owner then
      taken[#taken + 1] = i - 1
      taken[#taken + 1] = owner
      taken[#taken + 1] = name
    end
  end
end
if certain and redis.call('EXISTS', certain) == 1 then return {'stored'} end
if #taken > 1 then return taken end

local answer = {'stored'}
local function stands_for(i, id, how)
  answer[#answer + 1] = i - 1
  answer[#answer + 1] = id
  answer[#answer + 1] = how
end

-- Whether no other job waits for this one, and it for none: only then may another take its place.
local function stands_alone(base, id)
  local readable, record = pcall(cjson.decode, record_of(base, id) or '')
  local meta = readable and type(record) == 'table' and record.meta or {}
  return not meta.parent and not meta.children
end

-- Answers with the id under which a job is stored, nil where another one stands for it, and with its delay.
local function named(i, base, id, delay, asked)
  if asked.once then redis.call('SET', base .. 'once:' .. asked.once, id, 'PX', asked.once_for) end
  if not asked.key then return id, delay end
  if asked.policy == 'throttle' then
    local owner = redis.call('GET', base .. 'throttled:' .. asked.key)
    if owner then
      stands_for(i, owner, 'throttled')
      return nil, delay
    end
    redis.call('SET', base .. 'throttled:' .. asked.key, id, 'PX', asked.window)
    return id, delay
  end
  if asked.policy == 'debounce' then delay = math.max(delay, asked.window / 1000) end
  local owner = asked.policy ~= 'reject' and owner_of(base, asked.key)
  if owner and owner ~= id and stands_alone(base, owner) and take_out(base, owner) then
    redis.call('HDEL', base .. 'place', owner)
    redis.call('HDEL', base .. 'stalls', owner)
    stands_for(i, owner, 'replaced')
    id = owner
  end
  redis.call('HSET', base .. 'keys', asked.key, id)
  return id, delay
end

local woken, records = {}, {}
for i = 1, count do
  local at = first + (i - 1) * 7
  local queue = tonumber(ARGV[at])
  local base, id, delay = bases[queue], ARGV[at + 1], tonumber(ARGV[at + 3])
  local priority, group, asked = ARGV[at + 4], ARGV[at + 5], options[i]
  if asked then id, delay = named(i, base, id, delay, asked) end
  if id then
    records[#records + 1] = base .. 'job:' .. id
    records[#records + 1] = ARGV[at + 2]
    if priority ~= '' or group ~= '' then redis.call('HSET', base .. 'place', id, priority .. ':' .. group) end
    if asked and asked.parent then redis.call('HSET', base .. 'parents', id, asked.parent) end
    if asked and asked.awaits then
      redis.call('HSET', base .. 'awaits', id, asked.awaits)
    elseif delay > 0 then
      redis.call('ZADD', base .. 'delayed', now + delay, id)
      if redis.call('ZRANK', base .. 'delayed', id) == 0 then woken[base] = true end
    else
      line_up(base, id, tonumber(priority) or usual[queue], group)
      woken[base] = true
    end
  end
end
for i = 1, #records, 1000 do redis.call('MSET', unpack(records, i, math.min(i + 999, #records))) end
close_ranks()
for base in pairs(woken) do wake(base) end
return answer
