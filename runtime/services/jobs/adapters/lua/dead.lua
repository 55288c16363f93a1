-- Records of failed jobs, the newest first; those that have expired are passed over.
--
-- ARGV  base, dead before (ms), after that moment (ms, '' for the first page), after that id, most
--
-- Answers id, record, id, record ...

local base, after, most = ARGV[1], ARGV[3], tonumber(ARGV[5])
local found, offset = {}, 0
local from = after == '' and '+inf' or after
while #found < 2 * most do
  local page = redis.call(
    'ZREVRANGEBYSCORE', base .. 'dead', from, '(' .. ARGV[2], 'WITHSCORES', 'LIMIT', offset, most)
  if #page == 0 then break end
  offset = offset + #page / 2
  for i = 1, #page, 2 do
    local shown = tonumber(page[i + 1]) == tonumber(after) and page[i] >= ARGV[4]
    local record = not shown and #found < 2 * most and record_of(base, page[i])
    if record then
      found[#found + 1] = page[i]
      found[#found + 1] = record
    end
  end
end
return found
