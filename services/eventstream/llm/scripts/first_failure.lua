-- How long ago a thing failed for the first time, in ms; 0 and remembered when it is now.
-- KEYS  where to remember   ARGV  for how many ms; 0: it has not failed now, only look
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local first = redis.call('GET', KEYS[1])
if first then return now - tonumber(first) end
if tonumber(ARGV[1]) > 0 then redis.call('SET', KEYS[1], now, 'PX', ARGV[1]) end
return 0
