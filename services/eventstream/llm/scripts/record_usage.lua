-- Count a finished call, and let go of what was set aside for it; once, however often it is told.
--
-- KEYS  usage hash of the stream's day, sorted set of what is set aside
-- ARGV  the hold's member ("": none), calls, prompt tokens, completion tokens, micro-dollars,
--       ms to keep
-- Gives 1, or 0 where it was told before.
local usage, held = KEYS[1], KEYS[2]
local hold = ARGV[1]
if hold ~= '' then
  -- Only the first telling finds the hold, be the next one days later.
  local lapses = redis.call('ZSCORE', held, hold)
  if not lapses then return 0 end
  redis.call('ZREM', held, hold)
  if lapses ~= 'inf' then
    redis.call('HINCRBY', usage, 'held_microdollars', 0 - string.match(hold, '(%d+)$'))
  end
end
for index, field in ipairs({'calls', 'prompt_tokens', 'completion_tokens', 'cost_microdollars'}) do
  if ARGV[index + 1] ~= '0' then redis.call('HINCRBY', usage, field, ARGV[index + 1]) end
end
redis.call('PEXPIRE', usage, ARGV[6])
return 1
