-- After a call: put what was used in place of what was reserved, take over what the provider said
-- about its limits, and freeze the bucket when it asked for that.
--
-- KEYS  bucket hash
-- ARGV  request slot, change of requests, token slot, change of tokens,
--       ms to freeze for (0: not), why,
--       requests: limit, remaining, ms until full ("" where not said), tokens: likewise,
--       now in ms ("" : the server's own clock)
local bucket = KEYS[1]
local now = tonumber(ARGV[13]) or now_ms()

for index = 1, 3, 2 do
  local field, change = ARGV[index], tonumber(ARGV[index + 1])
  if field ~= '' and change ~= 0 then change_slot(bucket, field, change) end
end

local keep = 0
local freeze = tonumber(ARGV[5])
if freeze > 0 then
  -- Counted as in reserve.lua.
  redis.call('HINCRBY', bucket, 'refused:' .. ARGV[6], 1)
  redis.call('HSET', bucket, 'refused_at', now)
  keep = 60000
  local frozen_until = tonumber(redis.call('HGET', bucket, 'frozen_until') or '0')
  -- What is farther off than any freeze counts for nothing, as in reserve.lua.
  if now + freeze > frozen_until or frozen_until > now + LONGEST_FREEZE_MS then
    redis.call('HSET', bucket, 'frozen_until', now + freeze, 'frozen_why', ARGV[6])
    keep = math.max(keep, freeze)
  end
end

for name, index in pairs({r = 7, t = 10}) do
  local limit = tonumber(ARGV[index])
  local remaining = tonumber(ARGV[index + 1])
  local reset = tonumber(ARGV[index + 2])
  if limit and remaining and reset then
    if remaining >= limit or reset <= 0 then
      redis.call('HDEL', bucket, 'said:' .. name)
    else
      redis.call('HSET', bucket, 'said:' .. name, string.format(
        '%.17g %.17g %.17g %.17g', remaining, limit, (limit - remaining) / reset, now))
      keep = math.max(keep, reset)
    end
  end
end
if keep > 0 and redis.call('PTTL', bucket) < keep then
  redis.call('PEXPIRE', bucket, keep)
end
return 1
