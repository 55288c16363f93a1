-- A running job is about to do more of what the queue's rate counts: it counts as further starts, as far as the rate
-- allows.
--
-- ARGV  base, how many, count and window (s) of the rate
--
-- Answers how many were counted.

local rate = {tonumber(ARGV[3]), tonumber(ARGV[4])}
local allowed = permits(ARGV[1] .. 'starts', rate, tonumber(ARGV[2]))
spend(ARGV[1] .. 'starts', rate, allowed)
return allowed
