-- Let go of events that are held: give them back at once, or defer them.
-- KEYS  an event: inbox, deferred, deferred entries, task_meta, again
-- ARGV  group, consumer; an event: entry id, event id, wait ms ('0': at once), ending to keep with it
--       ('': none, or the one that is kept already), why it waits (a word), the same as a sentence
-- Returns 1 an event that was put back, 0 where this consumer did not hold it any more or somebody
-- else has finished it meanwhile; the key where another program's stands in the way of it: it stays held.
local answers = {}
local now = now_ms()
local count = (#ARGV - 2) / 6
local kinds = {}
for i = 0, count - 1 do
  local k = i * 5
  kinds[KEYS[k + 2]], kinds[KEYS[k + 3]], kinds[KEYS[k + 5]] = 'zset', 'hash', 'zset'
end
local taken = foreign_keys(kinds)

local function let_go(inbox, entry)
  redis.call('XACK', inbox, ARGV[1], entry)
  redis.call('XDEL', inbox, entry)
end

for i = 0, count - 1 do
  local k, a = i * 5, i * 6 + 2
  local inbox, deferred, entries, meta, again = KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4], KEYS[k + 5]
  local entry, id, wait, ending = ARGV[a + 1], ARGV[a + 2], tonumber(ARGV[a + 3]), ARGV[a + 4]
  wait = math.min(wait, LONGEST_WAIT_MS)
  local held = redis.pcall('XPENDING', inbox, ARGV[1], entry, entry, 1)
  local ours = not held.err and #held > 0 and held[1][2] == ARGV[2]
  local found = ours and redis.call('XRANGE', inbox, entry, entry)[1]
  local fields = found and found[2] or {}
  local in_the_way = taken[again] or wait > 0 and (taken[deferred] or taken[entries])
  local known, foreign = fields_of(meta, 'status')
  if not found then
    answers[#answers + 1] = 0
  elseif finished(known[1]) then
    -- By a process that had lost its lease: what is over must not begin again.
    let_go(inbox, entry)
    answers[#answers + 1] = 0
  elseif in_the_way then
    answers[#answers + 1] = in_the_way
  else
    let_go(inbox, entry)
    if foreign then redis.call('DEL', meta) end
    -- How old it is, and how far back unfinished events reach, must not be lost with the entry's id.
    redis.call('ZADD', again, 'NX', string.match(entry, '^(%d+)'), id)
    if ending ~= '' and not field_of(fields, 'ending') then
      fields[#fields + 1] = 'ending'
      fields[#fields + 1] = ending
    end
    if wait > 0 then
      redis.call('HSET', entries, id, cmsgpack.pack(fields))
      redis.call('ZADD', deferred, now + wait, id)
      redis.call('HINCRBY', meta, 'deferrals', 1)
      redis.call('HSET', meta, 'status', 'RETRY', 'due_at_ms', now + wait,
        'waits_for', ARGV[a + 5], 'waits_detail', ARGV[a + 6])
    else
      local anew = redis.call('XADD', inbox, '*', unpack(fields))
      redis.call('HSET', meta, 'status', 'PENDING', 'entry', anew)
    end
    answers[#answers + 1] = 1
  end
end
return answers
