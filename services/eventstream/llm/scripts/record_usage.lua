-- Count a finished call, and let go of what was set aside for it; once, however often it is told.
--
-- KEYS  usage hash of the stream's day, sorted set of what is set aside, set of this process's calls
--       that were told
-- ARGV  the call (as a hold's member, if money is set aside), calls, prompt tokens, completion tokens,
--       micro-dollars, ms to keep the figures and the calls, and calls that are never told again
-- Gives 1, or 0 where it was told before.
local usage, held, told = KEYS[1], KEYS[2], KEYS[3]
local call = ARGV[1]
for index = 8, #ARGV do redis.call('SREM', told, ARGV[index]) end
if redis.call('SADD', told, call) == 0 then return 0 end
redis.call('PEXPIRE', told, ARGV[7])
local lapses = redis.call('ZSCORE', held, call)
if lapses then
  redis.call('ZREM', held, call)
  if lapses ~= 'inf' then give_back(usage, call) end
end
for index, field in ipairs({'calls', 'prompt_tokens', 'completion_tokens', 'cost_microdollars'}) do
  if ARGV[index + 1] ~= '0' then redis.call('HINCRBY', usage, field, ARGV[index + 1]) end
end
redis.call('PEXPIRE', usage, ARGV[6])
return 1
