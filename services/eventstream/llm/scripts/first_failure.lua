-- How long ago a thing failed for the first time, in ms; 0 and remembered when it is now.
-- KEYS  where to remember   ARGV  for how many ms
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if redis.call('SET', KEYS[1], now, 'NX', 'PX', ARGV[1]) then return 0 end
return now - tonumber(redis.call('GET', KEYS[1]))
