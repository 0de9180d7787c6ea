-- Where a queue's unfinished events begin, and where its accepted ones end, by the ids of the inbox.
-- KEYS  inbox, again (event id -> when its first entry was made, of those that were put back)
-- ARGV  task_meta prefix
-- Returns {id of the newest entry ever made, id of the oldest unfinished one or ''}; what was put back
-- stands at the end of the inbox, and counts from its first entry on. One call looks at MOST_FINISHED
-- finished ids; the one behind them, which it does not look at, counts as unfinished.
local MOST_FINISHED = 512
local newest, oldest = '0-0', ''
local info = redis.pcall('XINFO', 'STREAM', KEYS[1])
if not info.err then
  newest = field_of(info, 'last-generated-id')
  local first = field_of(info, 'first-entry')
  if first then oldest = first[1] end
end
for n = 1, MOST_FINISHED + 1 do
  local again = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
  if #again == 0 then break end
  local status = fields_of(ARGV[1] .. again[1], 'status')[1]
  if n > MOST_FINISHED or (status and not finished(status)) then
    local made = string.format('%.0f', tonumber(again[2]))
    if oldest == '' or tonumber(made) <= tonumber(string.match(oldest, '^(%d+)')) then oldest = made .. '-0' end
    break
  end
  redis.call('ZREM', KEYS[2], again[1])
end
return { newest, oldest }
