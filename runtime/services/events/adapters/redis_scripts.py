"""What the server does in one step, in Lua. The rules of seats are told in `backend.Seat`.

The keys of a subscription's group, beside the stream's `log`:

    seats  hash  worker -> "token lease's end in ms"
    parts  hash  partition -> worker that owns it; `token` counts the tokens
    box    list  (one for each worker) positions in its partitions that another worker has come across
"""

from __future__ import annotations

from typing import Final

APPEND: Final = """
-- KEYS log batch seen...   ARGV max_length max_age_ms batch_s once_s [event, about ...]
-- Stores events, all in one step: their positions, a blank between two, and = before one that was known already.
-- `about` is an event's partition, if it has one, and ! where its id is the publisher's own. `batch` keeps the answer
-- for when the same command is sent again; with a batch_s of 0 the events' own ids do.
local guarded = ARGV[3] ~= '0'
local known = guarded and redis.call('GET', KEYS[2])
if known then return known end
local call, log, stored, seen = redis.call, KEYS[1], {}, 3
for place = 5, #ARGV, 2 do
  local about, first, own, position = ARGV[place + 1], nil, nil, nil
  local part = about
  if string.sub(about, -1) == '!' then
    part, own = string.sub(about, 1, -2), KEYS[seen]
    first, seen = call('GET', own), seen + 1
  end
  if first then
    position = '=' .. first
  elseif part == '' then
    position = call('XADD', log, '*', 'event', ARGV[place])
  else
    position = call('XADD', log, '*', 'event', ARGV[place], 'part', part)
  end
  if own and not first then call('SET', own, position, 'EX', ARGV[4]) end
  stored[#stored + 1] = position
end
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
call('XTRIM', log, 'MAXLEN', '~', ARGV[1])
call('XTRIM', log, 'MINID', '~', string.format('%.0f', math.max(0, now - ARGV[2])))
local answer = table.concat(stored, ' ')
if guarded then call('SET', KEYS[2], answer, 'EX', ARGV[3]) end
return answer
"""

SWEEP: Final = """
-- KEYS log   ARGV max_age_ms: drops all that is older, to the event
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f', math.max(0, now - ARGV[1])))
"""

REPLAY: Final = """
-- KEYS log dead   ARGV group letter...: what is claimed for a worker without a seat is taken over by the next who looks
local again = {}
for place = 2, #ARGV do
  local letter = redis.call('XRANGE', KEYS[2], ARGV[place], ARGV[place])[1]
  if letter then
    local position
    for field = 1, #letter[2], 2 do
      if letter[2][field] == 'position' then position = letter[2][field + 1] end
    end
    if #redis.call('XRANGE', KEYS[1], position, position) > 0 then
      redis.call('XCLAIM', KEYS[1], ARGV[1], 'replay', 0, position, 'RETRYCOUNT', 0, 'FORCE', 'JUSTID')
      redis.call('XDEL', KEYS[2], ARGV[place])
      again[#again + 1] = ARGV[place]
    end
  end
end
return again
"""

GUARD: Final = """
-- KEYS log seats parts box   ARGV worker token known
-- Whether the worker may read the stream by itself: its token holds, nothing waits in its box, and nothing behind the
-- position that is known to have been given out has been dropped. If not, the transaction that watches `parts` fails.
local seat = redis.call('HGET', KEYS[2], ARGV[1])
if seat and string.match(seat, '^%d+') == ARGV[2] and redis.call('EXISTS', KEYS[4]) == 0
   and #redis.call('XRANGE', KEYS[1], '-', ARGV[3], 'COUNT', 1) > 0 then
  return 1
end
redis.call('EXPIRE', KEYS[3], 1000000000) -- is written even where memory is full
redis.call('PERSIST', KEYS[3])
return 0
"""

TAKE: Final = """
-- KEYS log seats parts   ARGV group worker token count most box known
-- Takes events: how many were missed, the position up to which everything has been given out, and then position,
-- event, position, event ... Instead of those missed -1 where another worker has to empty its box before anything more
-- is read. An old token: false.
local log, group, me, box = KEYS[1], ARGV[1], ARGV[2], ARGV[6]
local count, taken = tonumber(ARGV[4]), {0, ''}
local seat = redis.call('HGET', KEYS[2], me)
if not seat or string.match(seat, '^%d+') ~= ARGV[3] then return false end
for _, position in ipairs(redis.call('LPOP', box .. me, count) or {}) do
  local entry = redis.call('XRANGE', log, position, position)[1]
  redis.call('XCLAIM', log, group, me, 0, position, 'RETRYCOUNT', 1, 'JUSTID')
  taken[#taken + 1] = position
  taken[#taken + 1] = entry and entry[2][2] or false
end
count = count - (#taken - 2) / 2
local alone, held = redis.call('HLEN', KEYS[2]) == 1, false
if not alone then
  for _, name in ipairs(redis.call('HKEYS', KEYS[2])) do
    if name ~= me and redis.call('LLEN', box .. name) >= tonumber(ARGV[5]) then held, count = true, 0 end
  end
end
if held and #taken == 2 then return {-1, ''} end
local function given() -- how many events of the stream the group has been given, those that were dropped included
  for _, known in ipairs(redis.call('XINFO', 'GROUPS', log)) do
    if known[2] == group then return type(known[10]) == 'number' and known[10] end
  end
end
local before = count > 0 and #redis.call('XRANGE', log, '-', ARGV[7], 'COUNT', 1) == 0 and given()
local fresh = count > 0 and redis.call('XREADGROUP', 'GROUP', group, me, 'COUNT', count, 'STREAMS', log, '>')
local entries = fresh and fresh[1][2] or {}
local after = fresh and before and before > 0 and given()
if after then taken[1] = math.max(0, after - before - #entries) end
local owners = {}
for _, entry in ipairs(entries) do
  local position, fields, owner = entry[1], entry[2], me
  taken[2] = position
  if not alone and fields[3] == 'part' then
    owner = owners[fields[4]] or redis.call('HGET', KEYS[3], fields[4]) or me
    owners[fields[4]] = owner
  end
  if owner == me then
    taken[#taken + 1] = position
    taken[#taken + 1] = fields[1] == 'event' and fields[2] or ''
  else
    redis.call('XCLAIM', log, group, owner, 0, position, 'RETRYCOUNT', 0, 'JUSTID')
    redis.call('RPUSH', box .. owner, position)
  end
end
if #taken == 2 and #entries == 0 then
  local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  taken[2] = last and last[1] or '0-0'
end
return taken
"""

SIT: Final = """
-- KEYS log seats parts   ARGV group worker lease_ms partitions box of but released...
-- Gives a seat or renews it, and shares out what nobody holds any more: token, surplus, lost, own partitions...
-- `of` begins the names of all workers of this state folder, `but` those of this process: others of it are gone.
local log, seats, parts = KEYS[1], KEYS[2], KEYS[3]
local group, me, lease, partitions, box = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local of, but = ARGV[6], ARGV[7]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function until_(ends) return string.format('%.0f', ends) end
local function begins(name, with) return string.sub(name, 1, #with) == with end

local tokens, names, known = {}, {}, redis.call('HGETALL', seats)
for place = 1, #known, 2 do
  local name, token, ends = known[place], string.match(known[place + 1], '^(%d+) (%d+)$')
  if tonumber(ends) < now or (of ~= '' and begins(name, of) and not begins(name, but)) then
    redis.call('HDEL', seats, name)
    redis.call('DEL', box .. name)
  else
    if tonumber(ends) > now + 4 * lease then -- the clock has been put back: nobody stays for ever
      redis.call('HSET', seats, name, token .. ' ' .. until_(now + lease))
    end
    tokens[name] = token
    names[#names + 1] = name
  end
end
local changed = {}
if not tokens[me] then
  tokens[me], changed[me] = '0', true
  names[#names + 1] = me
end
table.sort(names)

local freed, owner, share, own = {}, {}, {}, {}
for place = 8, #ARGV do
  if redis.call('HGET', parts, ARGV[place]) == me then freed[ARGV[place]] = true end
end
if next(freed) ~= nil then -- what waits in the box may be another's now: all that is pending is looked at anew
  redis.call('DEL', box .. me)
  changed[me] = true
end
for _, name in ipairs(names) do
  if name ~= me or next(freed) == nil or #names == 1 then share[name] = 0 end
end
for part = 0, partitions - 1 do
  local name = redis.call('HGET', parts, part)
  if name and tokens[name] and not freed[tostring(part)] then
    owner[tostring(part)] = name
    if share[name] then share[name] = share[name] + 1 end
  end
end
for part = 0, partitions - 1 do
  local part = tostring(part)
  if not owner[part] then
    local least
    for _, name in ipairs(names) do
      if share[name] and (not least or share[name] < share[least]) then least = name end
    end
    owner[part], share[least], changed[least] = least, share[least] + 1, true
    redis.call('HSET', parts, part, least)
  end
  if owner[part] == me then own[#own + 1] = part end
end

local lost = 0
local function move(from, all)
  local begin = '-'
  repeat
    local some = redis.call('XPENDING', log, group, begin, '+', 1000, from)
    for _, pending in ipairs(some) do
      local position, tries = pending[1], pending[4]
      local entry = redis.call('XRANGE', log, position, position)[1]
      local part = entry and entry[2][3] == 'part' and owner[entry[2][4]] and entry[2][4]
      if not entry then
        if all then
          redis.call('XACK', log, group, position)
          lost = lost + 1
        end
      elseif all or (part and freed[part]) then
        local to = part and owner[part] or me
        if not all then tries = math.max(0, tries - 1) end
        redis.call('XCLAIM', log, group, to, 0, position, 'RETRYCOUNT', tries, 'JUSTID')
        changed[to] = true
      end
      begin = '(' .. position
    end
  until #some < 1000
end
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', log, group)) do
  local name, count = consumer[2], consumer[4]
  if not tokens[name] then
    if count > 0 then move(name, true) end
    redis.call('XGROUP', 'DELCONSUMER', log, group, name)
  elseif name == me and next(freed) ~= nil and count > 0 then
    move(name, false)
  end
end

for name in pairs(changed) do
  tokens[name] = tostring(redis.call('HINCRBY', parts, 'token', 1))
  if name ~= me then
    local ends = string.match(redis.call('HGET', seats, name), '(%d+)$')
    redis.call('HSET', seats, name, tokens[name] .. ' ' .. ends)
  end
end
redis.call('HSET', seats, me, tokens[me] .. ' ' .. until_(now + lease))
return {tokens[me], math.max(0, #own - math.ceil(partitions / #names)), lost, unpack(own)}
"""

MINE: Final = """
-- KEYS log seats   ARGV group worker token box: all that is pending for a worker; position, event, tries ...
local group, me = ARGV[1], ARGV[2]
local seat = redis.call('HGET', KEYS[2], me)
if not seat or string.match(seat, '^%d+') ~= ARGV[3] then return false end
redis.call('DEL', ARGV[4] .. me)
local all, begin = {}, '-'
repeat
  local some = redis.call('XPENDING', KEYS[1], group, begin, '+', 1000, me)
  for _, pending in ipairs(some) do
    local entry = redis.call('XRANGE', KEYS[1], pending[1], pending[1])[1]
    all[#all + 1] = pending[1]
    all[#all + 1] = entry and (entry[2][1] == 'event' and entry[2][2] or '') or false
    all[#all + 1] = pending[4]
    begin = '(' .. pending[1]
  end
until #some < 1000
return all
"""

COUNT: Final = """
-- KEYS log   ARGV group worker position tries: keeps the tries of an event, if it is this worker's
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not pending or pending[2] ~= ARGV[2] then return 0 end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'RETRYCOUNT', ARGV[4], 'JUSTID')
return 1
"""

BURY: Final = """
-- KEYS log dead   ARGV group worker position keep length error tries event: ends an event, if it is this worker's
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not pending or pending[2] ~= ARGV[2] then return 0 end
if ARGV[4] == '1' then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', 'event', ARGV[8],
             'position', ARGV[3], 'error', ARGV[6], 'tries', ARGV[7])
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
return 1
"""

LEAVE: Final = """
-- KEYS log seats parts   ARGV group worker box uncounted...: gives a seat up, and has the others look
local log, group, me = KEYS[1], ARGV[1], ARGV[2]
redis.call('HDEL', KEYS[2], me)
redis.call('DEL', ARGV[3] .. me)
for place = 4, #ARGV do
  local pending = redis.call('XPENDING', log, group, ARGV[place], ARGV[place], 1)[1]
  if pending and pending[2] == me then
    redis.call('XCLAIM', log, group, me, 0, ARGV[place], 'RETRYCOUNT', math.max(0, pending[4] - 1), 'JUSTID')
  end
end
if #redis.call('XPENDING', log, group, '-', '+', 1, me) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', log, group, me)
end
local known = redis.call('HGETALL', KEYS[2])
for place = 1, #known, 2 do
  local ends = string.match(known[place + 1], '(%d+)$')
  redis.call('HSET', KEYS[2], known[place], redis.call('HINCRBY', KEYS[3], 'token', 1) .. ' ' .. ends)
end
return 1
"""
