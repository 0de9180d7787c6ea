-- Count a finished call, and let go of what was set aside for it; once, however often it is told.
--
-- KEYS  usage hash of the stream's day, sorted set of what is set aside,
--       sorted set of what was told (score: when it is forgotten)
-- ARGV  the hold's member ("": none), calls, prompt tokens, completion tokens, micro-dollars,
--       ms to keep, ms in which it may be told again
-- Gives 1, or 0 where it was told before.
local usage, held, told = KEYS[1], KEYS[2], KEYS[3]
local hold = ARGV[1]
if hold ~= '' then
  local clock = redis.call('TIME')
  local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
  redis.call('ZREMRANGEBYSCORE', told, '-inf', now)
  if redis.call('ZADD', told, 'NX', now + ARGV[7], hold) == 0 then return 0 end
  redis.call('PEXPIRE', told, ARGV[7])
  if redis.call('ZREM', held, hold) == 1 then
    redis.call('HINCRBY', usage, 'held_microdollars', 0 - string.match(hold, '(%d+)$'))
  end
end
for index, field in ipairs({'calls', 'prompt_tokens', 'completion_tokens', 'cost_microdollars'}) do
  if ARGV[index + 1] ~= '0' then redis.call('HINCRBY', usage, field, ARGV[index + 1]) end
end
redis.call('PEXPIRE', usage, ARGV[6])
return 1
