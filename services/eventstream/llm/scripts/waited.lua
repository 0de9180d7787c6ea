-- How long a thing has been failing, in ms: the times between looks at it, each up to a limit, which
-- is all that a clock that leaps can add. 0 and remembered when it fails for the first time.
-- KEYS  when it began, as the sum tells: so 0.1 reads it, too; when it was looked at last
-- ARGV  for how many ms to remember it; how many ms between two looks count at most; 1: it has failed
--       now, 0: only look
local now = now_ms()
local began = tonumber(redis.call('GET', KEYS[1]) or '')
local waited = 0
if began then
  -- Where 0.1 began, nobody says when it looked last.
  local last = math.max(began, tonumber(redis.call('GET', KEYS[2]) or '') or began)
  waited = last - began + math.min(math.max(now - last, 0), tonumber(ARGV[2]))
elseif ARGV[3] == '0' then
  return 0
end
redis.call('SET', KEYS[1], now - waited, 'PX', ARGV[1])
redis.call('SET', KEYS[2], now, 'PX', ARGV[1])
return waited
