-- What the server holds for a worker's claim whose answer was lost.   ARGV  base, token
--
-- Answers id, record, child that has failed or false, id, record ... The call with that token does nothing if it comes
-- after this one.

local base, token = ARGV[1], ARGV[2]
local found, cursor = {}, '0'
redis.call('SET', base .. 'void:' .. token, '1', 'PX', 3600000)
repeat
  local page = redis.call('HSCAN', base .. 'held', cursor, 'COUNT', 500)
  cursor = page[1]
  for i = 1, #page[2], 2 do
    if page[2][i + 1] == token then
      found[#found + 1] = page[2][i]
      found[#found + 1] = record_of(base, page[2][i])
      found[#found + 1] = redis.call('HGET', base .. 'broken', page[2][i])
    end
  end
until cursor == '0'
return found
