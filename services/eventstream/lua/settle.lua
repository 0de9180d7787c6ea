-- A deleted stream of which nothing is left to do (or something after all), unless it is another one
-- by now.
-- KEYS  hash of the streams   ARGV  the stream, the generation it must still have, what it becomes
local known = redis.call('HGET', KEYS[1], ARGV[1])
if not known or cjson.decode(known)['generation'] ~= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
