-- Puts failed jobs back, as long as their records are those that were read.
--
-- ARGV  base, usual priority, token of this call; of each job: id, sha1 of what was read, record, key or '', priority or '', group
--
-- Answers for each with '1', with '' where it has changed, or with the id of the job that has its key. The same call
-- sent again, because the answer to the first was lost, gets that answer.

local base, usual, said = ARGV[1], tonumber(ARGV[2]), ARGV[1] .. 'replayed:' .. ARGV[3]
local known_answers = redis.call('GET', said)
if known_answers then return cjson.decode(known_answers) end
local answers = {}
for at = 4, #ARGV, 6 do
  local id, key, priority, group = ARGV[at], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local name = base .. 'job:' .. id
  local known = record_of(base, id)
  local owner = key ~= '' and owner_of(base, key)
  if not known or redis.sha1hex(known) ~= ARGV[at + 1] then
    answers[#answers + 1] = ''
  elseif owner then
    answers[#answers + 1] = owner
  else
    redis.call('ZREM', base .. 'dead', id)
    redis.call('SET', name, ARGV[at + 2])
    if key ~= '' then redis.call('HSET', base .. 'keys', key, id) end
    if priority ~= '' or group ~= '' then redis.call('HSET', base .. 'place', id, priority .. ':' .. group) end
    line_up(base, id, tonumber(priority) or usual, group)
    answers[#answers + 1] = '1'
  end
end
redis.call('SET', said, cjson.encode(answers), 'PX', 60000)
if close_ranks() then wake(base) end
return answers
