-- How long ago a thing failed for the first time, in ms, and how often it was looked at since then; 0
-- and remembered when it is now.
-- KEYS  where to remember the time, and the number
-- ARGV  for how many ms; 0: it has not failed now, only look
-- Gives {ms, number}; the number is -1 where it was not counted, as in 0.1.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local keep = tonumber(ARGV[1])
local first = tonumber(redis.call('GET', KEYS[1]) or '')
if not first then
  if keep > 0 then
    redis.call('SET', KEYS[1], now, 'PX', keep)
    redis.call('SET', KEYS[2], 0, 'PX', keep)
  end
  return {0, 0}
end
if first > now then
  -- The clock has gone back: it counts from now on.
  first = now
  redis.call('SET', KEYS[1], first, 'KEEPTTL')
end
if redis.call('EXISTS', KEYS[2]) == 0 then return {now - first, -1} end
-- A thing that is looked at seldom is remembered until it was looked at often enough.
if keep > 0 then
  redis.call('PEXPIRE', KEYS[1], keep)
  redis.call('PEXPIRE', KEYS[2], keep)
end
return {now - first, redis.call('INCR', KEYS[2])}
