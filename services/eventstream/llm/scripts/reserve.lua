-- Take part of a shared limit, or a place in line for it, in one step.
--
-- A limit is counted in slots of a sixtieth of its period. At most `limit` is ever used in any
-- 61 slots in a row, and any stretch of one period touches at most 61 slots: so no period, wherever
-- it begins, holds more than the limit.
--
-- What does not fit now is booked into the first slot where it fits, if that is within a period:
-- newcomers must leave room for what is booked. A holder who comes back at its time, or late, needs
-- room beside what was really used and no more, so there is always someone who goes. Who finds no
-- place is told to come back; coming back, one holder at a time may book wherever it fits (never
-- more than two periods away): so a large request, for which a whole window must run empty, is
-- not overtaken for ever by small ones.
--
-- A quantity without a configured limit follows what the provider last said in its headers: a
-- level that refills at a known rate.
--
-- KEYS  bucket hash, this holder's place
-- ARGV  requests limit (0: none), its period in ms, tokens limit (0: none), its period in ms,
--       tokens wanted, now in ms ("" : the server's own clock)
-- Gives {1, 0, '', '', request slot, token slot} or {0, ms to wait, what is short, why, '', ''}
local SLOTS = 60
-- So long newcomers leave room for a holder who is late; a late one is served even after that.
local LATE = 5
-- From now to the end of the last window of the last slot that can be booked.
local AHEAD = 3 * SLOTS + 2
local bucket, place = KEYS[1], KEYS[2]
local now = tonumber(ARGV[6]) or now_ms()

-- What is refused is counted by what was short (and by whose limit: a bucket's users may have
-- different ones), for those who watch the bucket (limit_buckets.py), and kept for a minute at least, so
-- that they see it.
local function refused(wait_ms, short, why, limit)
  local cause = why ~= '' and why or short
  if limit then cause = cause .. ':' .. string.format('%d', limit) end
  redis.call('HINCRBY', bucket, 'refused:' .. cause, 1)
  redis.call('HSET', bucket, 'refused_at', now)
  if redis.call('PTTL', bucket) < 60000 then redis.call('PEXPIRE', bucket, 60000) end
  return {0, wait_ms, short, why, '', ''}
end

local frozen_until = tonumber(redis.call('HGET', bucket, 'frozen_until') or '0')
if frozen_until > now and frozen_until <= now + LONGEST_FREEZE_MS then
  return refused(frozen_until - now, 'frozen', redis.call('HGET', bucket, 'frozen_why') or '')
end

-- A place kept from before is given back first: it is this holder's to use or to book again.
local kept = redis.call('GET', place)
local due = false
if kept then
  for field, value in string.gmatch(kept, '(%S+) (%S+)') do
    if field == 'at' then
      due = tonumber(value) <= now
    else
      change_slot(bucket, field, '-' .. value)
    end
  end
  redis.call('DEL', place)
end

-- Running sums of the slots from `first` to `last`; those before `since` count nothing.
local function sums_of(prefix, first, last, since)
  local fields = {}
  for slot = since, last do fields[#fields + 1] = prefix .. slot end
  local counts, sums = redis.call('HMGET', bucket, unpack(fields)), {[0] = 0}
  for index = 1, since - first do sums[index] = 0 end
  for _, count in ipairs(counts) do sums[#sums + 1] = sums[#sums] + (tonumber(count) or 0) end
  return sums
end

-- Most of the time nobody waits, and nothing is booked.
local booked_until = tonumber(redis.call('HGET', bucket, 'booked_until') or '0')

local function counted(name, label, limit, period, amount)
  local width = math.max(1, math.ceil(period / SLOTS))
  local current = math.floor(now / width)
  local first = current - SLOTS
  local used, booked = name .. ':' .. width .. ':', 'booked:' .. name .. ':' .. width .. ':'
  local purged = tonumber(redis.call('HGET', bucket, 'purged:' .. used) or '0')
  for slot = math.max(purged, first - 5 * SLOTS), first - 1 do
    redis.call('HDEL', bucket, used .. slot, booked .. slot)
  end
  if purged ~= first then redis.call('HSET', bucket, 'purged:' .. used, first) end
  return {
    name = name, label = label, limit = limit, width = width, amount = math.min(amount, limit),
    current = current, first = first, used = used, booked = booked,
    used_sums = sums_of(used, first, current, first),
    booked_sums = booked_until > now - period
      and sums_of(booked, first, current + AHEAD, current - LATE) or {[0] = 0},
  }
end

-- What is in the 61 slots that end with `slot`.
local function in_window(sums, dimension, slot)
  local index = slot - dimension.first + 1
  return (sums[index] or sums[#sums]) - (sums[math.min(math.max(0, index - SLOTS - 1), #sums)])
end

local function fits_beside_used(dimension)
  local used = in_window(dimension.used_sums, dimension, dimension.current)
  return used + dimension.amount <= dimension.limit
end

-- The first time at or after `at` where the amount fits every window that it would be part of.
local function earliest(dimension, at)
  local wanted = math.floor(at / dimension.width)
  local start, slot = wanted, wanted
  while slot <= dimension.current + AHEAD and slot - start <= SLOTS do
    local taken = in_window(dimension.used_sums, dimension, slot)
      + in_window(dimension.booked_sums, dimension, slot)
    if taken + dimension.amount > dimension.limit then start = slot + 1 end
    slot = slot + 1
  end
  if start == wanted then return at end
  return start * dimension.width
end

local limited, learned, period, keep = {}, {}, 0, 60000
local asked = {
  {'r', 'requests', tonumber(ARGV[1]), tonumber(ARGV[2]), 1},
  {'t', 'tokens', tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])},
}
for _, one in ipairs(asked) do
  local name, label, limit, its_period, amount = unpack(one)
  if limit > 0 then
    limited[#limited + 1] = counted(name, label, limit, its_period, amount)
    period = math.max(period, its_period)
  else
    local said = redis.call('HGET', bucket, 'said:' .. name)
    if said then
      local level, cap, per_ms, at = string.match(said, '(%S+) (%S+) (%S+) (%S+)')
      level, cap, per_ms, at = tonumber(level), tonumber(cap), tonumber(per_ms), tonumber(at)
      if at > now then
        -- The clock has gone back: it refills from now on.
        at = now
        redis.call('HSET', bucket, 'said:' .. name,
                   string.format('%.17g %.17g %.17g %.17g', level, cap, per_ms, at))
      end
      level = math.min(cap, level + (now - at) * per_ms)
      local needed = math.min(amount, cap)
      if level < needed then
        return refused(math.ceil((needed - level) / per_ms), label, '')
      end
      learned[#learned + 1] = {name, level - needed, cap, per_ms}
    end
  end
end
keep = math.max(keep, period)

local at, short, short_of = now, '', nil
for _, dimension in ipairs(limited) do
  due = due and fits_beside_used(dimension)
end
local settled = due
while not settled do
  settled = true
  for _, dimension in ipairs(limited) do
    local fits = earliest(dimension, at)
    if fits > at then
      at, short, short_of, settled = fits, dimension.label, dimension.limit, false
    end
  end
end

local beyond = false
for _, dimension in ipairs(limited) do
  beyond = beyond or math.floor(at / dimension.width) > dimension.current + SLOTS + 1
end
if beyond then
  local far_until = tonumber(redis.call('HGET', bucket, 'far_until') or '0')
  if not kept or far_until > now then
    redis.call('SET', place, '', 'PX', 3 * keep)
    return refused(period, short, '', short_of)
  end
  -- The next holder may book far ahead once this booking is within a period.
  redis.call('HSET', bucket, 'far_until', at - period)
end

local slots, booking = {r = '', t = ''}, {'at ' .. string.format('%d', at)}
for _, dimension in ipairs(limited) do
  local prefix = at > now and dimension.booked or dimension.used
  local field = prefix .. string.format('%d', math.floor(at / dimension.width))
  redis.call('HINCRBY', bucket, field, dimension.amount)
  slots[dimension.name] = field
  booking[#booking + 1] = field .. ' ' .. string.format('%d', dimension.amount)
end
if redis.call('EXISTS', bucket) == 1 and redis.call('PTTL', bucket) < 3 * keep then
  redis.call('PEXPIRE', bucket, 4 * keep)
end
if at > now then
  if at > booked_until then redis.call('HSET', bucket, 'booked_until', at) end
  redis.call('SET', place, table.concat(booking, ' '), 'PX', at - now + keep)
  return refused(at - now, short, '', short_of)
end
for _, one in ipairs(learned) do
  local name, level, cap, per_ms = unpack(one)
  redis.call('HSET', bucket, 'said:' .. name,
             string.format('%.17g %.17g %.17g %.17g', level, cap, per_ms, now))
end
return {1, 0, '', '', slots.r, slots.t}
