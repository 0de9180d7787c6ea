-- Have one wake-up of a queue under way; 1 where there was none, so the caller's is to be sent.
-- KEYS  wake
-- ARGV  wake TTL ms, ms after which one that is under way counts for nothing
if redis.call('PTTL', KEYS[1]) <= ARGV[1] - ARGV[2] then redis.call('DEL', KEYS[1]) end
return redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) and 1 or 0
