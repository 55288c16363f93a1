-- What the server holds for a worker's claim whose answer was lost.   ARGV  base, token
--
-- Answers id, record, id, record ...

local base, token = ARGV[1], ARGV[2]
local found, cursor = {}, '0'
repeat
  local page = redis.call('HSCAN', base .. 'held', cursor, 'COUNT', 500)
  cursor = page[1]
  for i = 1, #page[2], 2 do
    if page[2][i + 1] == token then
      found[#found + 1] = page[2][i]
      found[#found + 1] = redis.call('GET', base .. 'job:' .. page[2][i])
    end
  end
until cursor == '0'
return found
