-- Count a finished call, and let go of what was set aside for it.
--
-- KEYS  usage hash of the stream's day, sorted set of what is set aside
-- ARGV  the hold's member ("": none), calls, prompt tokens, completion tokens, micro-dollars,
--       ms to keep
local usage, held = KEYS[1], KEYS[2]
if ARGV[1] ~= '' and redis.call('ZREM', held, ARGV[1]) == 1 then
  redis.call('HINCRBY', usage, 'held_microdollars', '-' .. string.match(ARGV[1], '(%d+)$'))
end
for index, field in ipairs({'calls', 'prompt_tokens', 'completion_tokens', 'cost_microdollars'}) do
  if ARGV[index + 1] ~= '0' then redis.call('HINCRBY', usage, field, ARGV[index + 1]) end
end
redis.call('PEXPIRE', usage, ARGV[6])
return 1
