-- Count a finished call, and let go of what was set aside for it; once, however often it is told.
--
-- KEYS  usage hash of the stream's day, sorted set of what is set aside
-- ARGV  the hold's member ("": none), calls, prompt tokens, completion tokens, micro-dollars,
--       ms to keep, ms in which it may be told again
-- Gives 1, or 0 where it was told before.
local usage, held = KEYS[1], KEYS[2]
if ARGV[1] ~= '' then
  local told = 'told:' .. ARGV[1]
  if redis.call('ZSCORE', held, told) then return 0 end
  if redis.call('ZREM', held, ARGV[1]) == 1 then
    redis.call('HINCRBY', usage, 'held_microdollars', '-' .. string.match(ARGV[1], '(%d+)$'))
  end
  local clock = redis.call('TIME')
  redis.call('ZADD', held, clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[7], told)
  redis.call('PEXPIRE', held, ARGV[6])
end
for index, field in ipairs({'calls', 'prompt_tokens', 'completion_tokens', 'cost_microdollars'}) do
  if ARGV[index + 1] ~= '0' then redis.call('HINCRBY', usage, field, ARGV[index + 1]) end
end
redis.call('PEXPIRE', usage, ARGV[6])
return 1
