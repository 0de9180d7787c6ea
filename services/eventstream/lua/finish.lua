-- Finish a batch: result, metadata, acknowledgement, counters, one notification.
-- KEYS  finished channel's name; an event: inbox, task_meta, result, counters,
--       deferred, deferred entries, again
-- ARGV  group, TTL seconds; an event: entry id, event id, acceptance or '', status, result JSON or '',
--       failure JSON or '', source, tokens, cost, tokens saved, cost saved, processing µs
-- Returns 1 (finished now) or 0 (was finished before, or its id was accepted anew since) an event.
local group, ttl = ARGV[1], ARGV[2]
local now = now_ms()
local answers, names, totals = {}, {}, {}

-- Latency is kept as a histogram of powers of two (ms): enough for a median and a 95th percentile.
local function latency_field(ms)
  local bound = 1
  while bound < ms and bound < 4194304 do bound = bound * 2 end
  return 'latency_ms_le:' .. bound
end

-- Whether an answer belongs to another acceptance of the id than the one that is known.
local function is_of_another(digest, known, since, acceptance, entry)
  -- What took the place of a key that was lost does not say which one it is.
  if not digest then return false end
  -- Earlier versions give none, neither to the entry nor to the metadata.
  if known or acceptance ~= '' then return known ~= acceptance end
  return since and older(entry, since)
end

local count = (#ARGV - 2) / 12
local entries, over = {}, {}
for i = 0, count - 1 do
  local inbox = KEYS[i * 7 + 2]
  entries[inbox] = entries[inbox] or {}
  table.insert(entries[inbox], ARGV[i * 12 + 3])
end
-- An answer that was paid for is stored whatever has become of the keys around it (`pcall`): other
-- programs' in their places hold nothing that could be taken out.
for inbox, of in pairs(entries) do
  redis.pcall('XACK', inbox, group, unpack(of))
  redis.pcall('XDEL', inbox, unpack(of))
end
for i = 0, count - 1 do
  local k, a = i * 7 + 1, i * 12 + 2
  local meta, result, counters = KEYS[k + 2], KEYS[k + 3], KEYS[k + 4]
  local id, status, source = ARGV[a + 2], ARGV[a + 4], ARGV[a + 7]
  local known, foreign = fields_of(meta, 'status', 'accepted_at_ms', 'entry', 'digest', 'acceptance', 'since')
  -- It was accepted under this key, which somebody has written over since.
  if foreign then redis.call('DEL', meta) end
  if finished(known[1]) or is_of_another(known[4], known[5], known[6], ARGV[a + 3], ARGV[a + 1]) then
    tally(totals, counters, 'late_answers', 1)
    answers[#answers + 1] = 0
  else
    if not known[1] and not foreign then
      -- The store lost its data while the event was being worked on: the answer is kept, and
      -- acceptance is counted again so that the sums still hold.
      tally(totals, counters, 'accepted', 1)
      tally(totals, counters, 'recovered', 1)
    end
    if known[1] == 'RETRY' and redis.pcall('ZREM', KEYS[k + 5], id) == 1 then
      -- Whoever took it over had deferred it; the answer came from the first one after all.
      redis.pcall('HDEL', KEYS[k + 6], id)
    end
    if known[3] and known[3] ~= ARGV[a + 1] then
      -- Or put it back: nobody needs to find out that it is over, in an hour maybe.
      redis.pcall('XACK', KEYS[k + 1], group, known[3])
      redis.pcall('XDEL', KEYS[k + 1], known[3])
    end
    local failure = ARGV[a + 6]
    if status == 'SUCCESS' then
      if known[1] then
        redis.call('SET', result, ARGV[a + 5], 'EX', ttl)
      else
        -- It may have been finished before, and its metadata evicted.
        redis.call('SET', result, ARGV[a + 5], 'NX', 'EX', ttl)
      end
      tally(totals, counters, 'answered', 1)
      tally(totals, counters, 'source:' .. source, 1)
      tally(totals, counters, 'tokens', tonumber(ARGV[a + 8]))
      tally(totals, counters, 'cost_microdollars', tonumber(ARGV[a + 9]))
      tally(totals, counters, 'tokens_saved', tonumber(ARGV[a + 10]))
      tally(totals, counters, 'saved_microdollars', tonumber(ARGV[a + 11]))
      tally(totals, counters, 'processing_us', tonumber(ARGV[a + 12]))
      redis.call('HSET', meta, 'status', status, 'finished_at_ms', now)
    else
      tally(totals, counters, 'failed', 1)
      tally(totals, counters, 'failed:' .. source, 1)
      redis.call('HSET', meta, 'status', status, 'finished_at_ms', now, 'failure', failure)
    end
    over[KEYS[k + 7]] = over[KEYS[k + 7]] or {}
    table.insert(over[KEYS[k + 7]], id)
    tally(totals, counters, latency_field(now - (tonumber(known[2]) or now)), 1)
    redis.call('EXPIRE', meta, ttl)
    names[#names + 1] = id
    answers[#answers + 1] = 1
  end
end
for again, ids in pairs(over) do redis.pcall('ZREM', again, unpack(ids)) end
count_all(totals)
if #names > 0 then redis.call('PUBLISH', KEYS[1], table.concat(names, '\n')) end
return answers
