-- Give back a place in line that nobody will come for.
-- KEYS  bucket hash, the holder's place
local kept = redis.call('GET', KEYS[2])
if not kept then return 0 end
for field, amount in string.gmatch(kept, '(%S+) (%S+)') do
  if field ~= 'at' then change_slot(KEYS[1], field, '-' .. amount) end
end
redis.call('DEL', KEYS[2])
return 1
