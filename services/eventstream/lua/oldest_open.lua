-- Where queues' unfinished events begin, and where their accepted ones end, by the ids of the inbox.
-- KEYS  a queue: inbox, again (event id -> when its first entry was made, of those that were put back)
-- ARGV  task_meta prefix
-- Returns, a queue, the id of the newest entry ever made and that of the oldest unfinished one or ''; what
-- was put back stands at the end of the inbox, and counts from its first entry on. The second is an error
-- where another program's key makes it unknown. What is over and left behind (an earlier version did not
-- take it out) is looked over, MOST_FINISHED of a queue in a call; the one behind counts as unfinished.
local MOST_FINISHED = 512

local function ends_of(inbox, put_back)
  local newest, oldest = '0-0', ''
  local info = redis.pcall('XINFO', 'STREAM', inbox)
  if not info.err then
    newest = field_of(info, 'last-generated-id')
    local first = field_of(info, 'first-entry')
    if first then oldest = first[1] end
  end
  local over = {}
  for n = 0, MOST_FINISHED do
    local again = redis.pcall('ZRANGE', put_back, n, n, 'WITHSCORES')
    if again.err then return newest, again end
    if #again == 0 then break end
    local status = fields_of(ARGV[1] .. again[1], 'status')[1]
    if n == MOST_FINISHED or (status and not finished(status)) then
      local made = string.format('%.0f', tonumber(again[2]))
      if oldest == '' or tonumber(made) <= tonumber(string.match(oldest, '^(%d+)')) then oldest = made .. '-0' end
      break
    end
    over[#over + 1] = again[1]
  end
  -- A server that takes no writes now is asked all the same.
  if #over > 0 then redis.pcall('ZREM', put_back, unpack(over)) end
  return newest, oldest
end

local answer = {}
for k = 1, #KEYS, 2 do
  local newest, oldest = ends_of(KEYS[k], KEYS[k + 1])
  answer[#answer + 1] = newest
  answer[#answer + 1] = oldest
end
return answer
