-- A job's record and where it stands.   ARGV  base, id
--
-- Answers {record or false, `running`, `scheduled`, `paused`, `blocked` or ``, when it is due or false}.

local base, id = ARGV[1], ARGV[2]
local record = record_of(base, id)
if not record then return {false, '', false} end
if redis.call('HEXISTS', base .. 'held', id) == 1 then return {record, 'running', false} end
local due = redis.call('ZSCORE', base .. 'delayed', id)
if due then return {record, tonumber(due) > now and 'scheduled' or '', due} end
if redis.call('ZSCORE', base .. 'resting', id) then return {record, 'paused', false} end
if redis.call('HEXISTS', base .. 'awaits', id) == 1 then return {record, 'blocked', false} end
return {record, '', false}
