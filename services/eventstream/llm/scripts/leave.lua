-- Give back a place in line that nobody will come for.
-- KEYS  bucket hash, the holder's place
local kept = redis.call('GET', KEYS[2])
if not kept then return 0 end
for field, amount in string.gmatch(kept, '(%S+) (%S+)') do
  if field ~= 'at' and redis.call('HEXISTS', KEYS[1], field) == 1 then
    if redis.call('HINCRBY', KEYS[1], field, '-' .. amount) <= 0 then
      redis.call('HDEL', KEYS[1], field)
    end
  end
end
redis.call('DEL', KEYS[2])
return 1
