-- Stores the records of running jobs as they are now.
--
-- ARGV  base; of each job: id, token of its claim, record
--
-- Answers with 1 for each, 0 where the worker does not hold it, or what the job is told (`cancel`, `pause`).

local base = ARGV[1]
local answers = {}
for at = 2, #ARGV, 3 do
  local id = ARGV[at]
  if redis.call('HGET', base .. 'held', id) ~= ARGV[at + 1] then
    answers[#answers + 1] = 0
  else
    redis.call('SET', base .. 'job:' .. id, ARGV[at + 2])
    answers[#answers + 1] = redis.call('HGET', base .. 'signals', id) or 1
  end
end
return answers
