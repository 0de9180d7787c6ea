-- Accept a batch: payload, metadata, inbox entry, counters; each event whole or not at all.
-- KEYS  an event: task_meta, inbox, counters, wake, result
-- ARGV  wake TTL ms, the batch's token; an event: id, digests, stream, queue, task_type, via, entry JSON, raw or '', key or ''
-- The digests, 32 characters each: of what will be worked on, and of what was sent, which no change of
-- the stream's spec makes another. Either makes a duplicate; 0.1.0 knows the first only.
-- Returns a list: 'accepted' | 'duplicate' | 'conflict' | 'foreign' (another program's key stands where
-- its metadata would) | 'no_inbox' (where its inbox would: nothing is said of it) an event, then the
-- positions (1-based) of the events whose queue wants a wake-up.
--
-- A server that refuses writes when it is full keeps a reserve: what was accepted must still be
-- finished (limits, budgets, results and, where it is the broker too, wake-ups are writes), or a
-- full server would stay full for ever. A server that evicts is full all the time: no reserve there.
local RESERVE = 0.1
local function only_the_reserve_is_left()
  local memory = redis.pcall('INFO', 'memory')
  if type(memory) ~= 'string' or not string.find(memory, 'maxmemory_policy:noeviction', 1, true) then
    return false
  end
  local most = tonumber(string.match(memory, '%smaxmemory:(%d+)') or '0')
  local used = tonumber(string.match(memory, 'used_memory:(%d+)') or '0')
    - tonumber(string.match(memory, 'mem_not_counted_for_evict:(%d+)') or '0')
  return most > 0 and used > most * (1 - RESERVE)
end

if only_the_reserve_is_left() then
  return redis.error_reply('OOM what is left of maxmemory is kept for finishing accepted events')
end
local token = ARGV[2]
local count = (#ARGV - 2) / 9
local kinds = {}
for i = 0, count - 1 do
  kinds[KEYS[i * 5 + 2]] = 'stream'
end
local taken = foreign_keys(kinds)
local answers, wanted, woken, totals = {}, {}, {}, {}
local now = now_ms()
for i = 0, count - 1 do
  local k = i * 5
  local meta, inbox, counters, wake = KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4]
  local a = i * 9 + 2
  local digest, sent = string.sub(ARGV[a + 2], 1, 32), string.sub(ARGV[a + 2], 33)
  local stored, foreign = fields_of(meta, 'digest', 'sent')
  local known = stored[1]
  if taken[inbox] then
    answers[#answers + 1] = 'no_inbox'
  elseif foreign then
    tally(totals, counters, 'conflicts', 1)
    answers[#answers + 1] = 'foreign'
  elseif not known then
    local fields = { 'id', ARGV[a + 1], 'event', ARGV[a + 7], 'acceptance', token }
    if ARGV[a + 8] ~= '' then
      fields[#fields + 1] = 'raw'
      fields[#fields + 1] = ARGV[a + 8]
    end
    if ARGV[a + 9] ~= '' then
      fields[#fields + 1] = 'key'
      fields[#fields + 1] = ARGV[a + 9]
    end
    local entry = redis.call('XADD', inbox, '*', unpack(fields))
    -- A server that evicts takes metadata and result apart: what is left of one is none of the next.
    redis.call('DEL', meta, KEYS[k + 5])
    -- A worker may still be on one of this id that was forgotten since, or tell its end once more: that
    -- answer is not ours. `since` says so to workers of earlier versions, which know no `acceptance`.
    redis.call('HSET', meta, 'schema', 1, 'status', 'PENDING', 'digest', digest, 'sent', sent,
      'stream', ARGV[a + 3], 'queue', ARGV[a + 4], 'task_type', ARGV[a + 5], 'via', ARGV[a + 6],
      'entry', entry, 'accepted_at_ms', now, 'acceptance', token, 'since', entry)
    tally(totals, counters, 'accepted', 1)
    if not woken[wake] then
      woken[wake] = true
      if redis.call('SET', wake, '1', 'NX', 'PX', ARGV[1]) then wanted[#wanted + 1] = i + 1 end
    end
    answers[#answers + 1] = 'accepted'
  elseif known == digest or stored[2] == sent then
    tally(totals, counters, 'accepted', 1)
    tally(totals, counters, 'duplicates', 1)
    answers[#answers + 1] = 'duplicate'
  else
    tally(totals, counters, 'conflicts', 1)
    answers[#answers + 1] = 'conflict'
  end
end
count_all(totals)
return { answers, wanted }
