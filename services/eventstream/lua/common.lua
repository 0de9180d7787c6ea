-- Helpers in front of every script. Time is Redis' own: one clock for all processes.
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- So long at most a deferred event waits before it is looked at again, whatever it waits for. What is
-- due later than that was put there by a clock that has gone back since (somebody set it, or another
-- server took over): it is due now.
local LONGEST_WAIT_MS = 300000

local function ensure_group(stream, group)
  local made = redis.pcall('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
  if type(made) == 'table' and made.err and not string.find(made.err, 'BUSYGROUP') then
    error(made.err)
  end
end

-- The value of one field of a stream entry's flat field list.
local function field_of(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
  return nil
end

-- Fields of one event's metadata. A script that fails takes nothing back of what it has written, so
-- another program's key in this place (of another type) must not make it fail in the midst of a batch:
-- it counts as no metadata, and the second answer is true.
local function fields_of(meta, ...)
  local known = redis.pcall('HMGET', meta, ...)
  if not known.err then return known, false end
  if not string.find(known.err, 'WRONGTYPE', 1, true) then error(known.err) end
  return {}, true
end

-- Of the keys that a batch shares: those that another program keeps something of its own in, looked for
-- before the first write. `kinds`: key -> the type that it must have. Returns key -> key.
local function foreign_keys(kinds)
  local foreign = {}
  for key, kind in pairs(kinds) do
    local found = redis.call('TYPE', key).ok
    if found ~= kind and found ~= 'none' then foreign[key] = key end
  end
  return foreign
end

-- Count in `totals` (key -> field -> amount), for `count_all`.
local function tally(totals, counters, field, amount)
  if amount == 0 then return end
  local of = totals[counters] or {}
  totals[counters] = of
  of[field] = (of[field] or 0) + amount
end

-- Add to counters, behind everything that is written by then: what can't be counted (the key is another
-- program's, or the sum beyond what Redis counts) must not undo the rest. `totals`: of `tally`.
local function count_all(totals)
  for counters, of in pairs(totals) do
    for field, amount in pairs(of) do redis.pcall('HINCRBY', counters, field, amount) end
  end
end

local function finished(status)
  return status == 'SUCCESS' or status == 'FAILURE'
end

-- Whether one entry id (ms-sequence) is older than another; ids of all inboxes have the same clock.
local function older(one, other)
  local ms, sequence = string.match(one, '^(%d+)-(%d+)$')
  local other_ms, other_sequence = string.match(other, '^(%d+)-(%d+)$')
  ms, other_ms = tonumber(ms), tonumber(other_ms)
  if ms ~= other_ms then return ms < other_ms end
  return tonumber(sequence) < tonumber(other_sequence)
end
