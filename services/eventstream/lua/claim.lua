-- Take events from one inbox under a lease.
-- KEYS  inbox, deferred, deferred entries, wake, again (what is claimed must find its way back)
-- ARGV  group, consumer, most new events, lease ms, what to do about events that were left behind:
--       'none' | 'peek' (is there one whose lease has ended?) | 'take' (one of them) | 'own' (one that
--       stands under this consumer's name, left by a predecessor: no lease has to end), task_meta
--       prefix, '1' for the first claim of a drain, wake TTL ms
-- Returns {fresh, suspects, suspect waits (0|1), wake (0|1)}; an event is
-- {entry id, deliveries, accepted_at ms, fields}. Nothing is claimed where one of the keys is another
-- program's: that key stands behind the four.
--
-- The wake key stands for a wake-up that no drain has answered yet. A drain that begins takes it
-- away; one that sees more waiting than it took wants another, unless there is one. So one process
-- wakes the next until all are at work, and the surplus is one wake-up and not one a claim.
local inbox, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local most, lease, mode, prefix = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6]
local now = now_ms()
local kinds = { [inbox] = 'stream', [KEYS[2]] = 'zset', [KEYS[3]] = 'hash', [KEYS[5]] = 'zset' }
local foreign = next(foreign_keys(kinds))
if foreign then return { {}, {}, 0, 0, foreign } end
if ARGV[7] == '1' then redis.call('DEL', KEYS[4]) end

local function taken(entry, fields, deliveries)
  local meta = prefix .. (field_of(fields, 'id') or '')
  local known, foreign = fields_of(meta, 'status', 'accepted_at_ms', 'deferrals')
  if foreign then redis.call('DEL', meta) end
  if finished(known[1]) then
    -- Cancelled, or finished by a process that had lost its lease: nothing is left to do.
    redis.call('XACK', inbox, group, entry)
    redis.call('XDEL', inbox, entry)
    return nil
  end
  local status = (deliveries > 1 or known[3]) and 'RETRY' or 'STARTED'
  redis.call('HSET', meta, 'status', status, 'started_at_ms', now, 'entry', entry, 'deliveries', deliveries,
    'delivery:' .. deliveries, consumer .. ' at ' .. now)
  return { entry, deliveries, tonumber(known[2] or now), fields }
end

-- What was deferred and is due stands at the end of the inbox again.
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 256)
if #due == 0 then
  due = redis.call('ZRANGEBYSCORE', KEYS[2], now + LONGEST_WAIT_MS + 1, '+inf', 'LIMIT', 0, 256)
end
for _, id in ipairs(due) do
  local packed = redis.call('HGET', KEYS[3], id)
  local entry = packed and redis.call('XADD', inbox, '*', unpack(cmsgpack.unpack(packed)))
  redis.call('HDEL', KEYS[3], id)
  redis.call('ZREM', KEYS[2], id)
  if entry then
    -- Another program's key in its place is dealt with when the event is taken, in a moment.
    redis.pcall('HSET', prefix .. id, 'entry', entry, 'status', 'RETRY')
  end
end

-- Read in parts: a claim is in Redis' memory several times over (entries, Lua, reply), so it is bounded
-- in bytes as well as in events.
local MOST_BYTES, PART = 4194304, 16

local function read_new(count)
  return redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS', inbox, '>')
end

local function size_of(fields)
  local bytes = 0
  for _, field in ipairs(fields) do bytes = bytes + #field end
  return bytes
end

local fresh, bytes = {}, 0
if most == 0 then ensure_group(inbox, group) end
while most > 0 and bytes < MOST_BYTES do
  local count = math.min(most, PART)
  local read = read_new(count)
  if read and read.err then
    ensure_group(inbox, group)
    read = read_new(count)
    if read and read.err then error(read.err) end
  end
  local items = read and read[1][2] or {}
  for _, item in ipairs(items) do
    bytes = bytes + size_of(item[2])
    local event = taken(item[1], item[2], 1)
    if event then fresh[#fresh + 1] = event end
  end
  most = #items == count and most - count or 0
end

local suspects, suspect_waits = {}, 0
if mode ~= 'none' then
  while true do
    local late = mode == 'own' and redis.call('XPENDING', inbox, group, '-', '+', 1, consumer)
      or redis.call('XPENDING', inbox, group, 'IDLE', lease, '-', '+', 1)
    if #late == 0 then break end
    if mode == 'peek' then
      suspect_waits = 1
      break
    end
    local entry, deliveries = late[1][1], tonumber(late[1][4]) + 1
    local claimed = redis.call('XCLAIM', inbox, group, consumer, 0, entry)
    if #claimed > 0 and claimed[1] then
      local event = taken(entry, claimed[1][2], deliveries)
      if event then
        suspects[1] = event
        break
      end
    else
      -- Its entry is gone: nothing to run, and nothing to be counted as pending.
      redis.call('XACK', inbox, group, entry)
    end
  end
end

local waiting = redis.call('XLEN', inbox) - redis.call('XPENDING', inbox, group)[1]
local wake = 0
if #fresh > 0 and waiting > 0 and redis.call('SET', KEYS[4], '1', 'NX', 'PX', ARGV[8]) then wake = 1 end
return { fresh, suspects, suspect_waits, wake }
