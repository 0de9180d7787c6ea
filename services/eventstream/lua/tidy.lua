-- Forget consumers that hold nothing and were not seen for a while; how many.
-- KEYS inbox. ARGV group, ms.
-- In one step: what a consumer claims before it is forgotten would be nobody's, for ever.
local info = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
if info.err then return 0 end -- nobody has claimed from this queue yet: no inbox, or no group
local forgotten = 0
for _, consumer in ipairs(info) do
  if field_of(consumer, 'pending') == 0 and field_of(consumer, 'idle') > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], field_of(consumer, 'name'))
    forgotten = forgotten + 1
  end
end
return forgotten
