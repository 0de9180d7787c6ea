-- Take part of a shared limit, or a place in line for it, in one step.
--
-- A limit is counted in slots of a sixtieth of its period. At most `limit` is ever counted in any
-- 61 slots in a row, and any stretch of one period touches at most 61 slots: so no period, wherever
-- it begins, holds more than the limit. What does not fit now is booked into the first slot where
-- it fits, at most one period ahead: the place is kept under the holder's name, so a large request
-- is not overtaken for ever by small ones.
--
-- A quantity without a configured limit follows what the provider last said in its headers: a
-- level that refills at a known rate.
--
-- KEYS  bucket hash, this holder's place
-- ARGV  requests limit (0: none), its period in ms, tokens limit (0: none), its period in ms,
--       tokens wanted, now in ms ("" : the server's own clock)
-- Gives {1, 0, '', '', request slot, token slot} or {0, ms to wait, what is short, why, '', ''}
local SLOTS = 60
local bucket, place = KEYS[1], KEYS[2]
local now = tonumber(ARGV[6])
if not now then
  local clock = redis.call('TIME')
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
end

local frozen_until = tonumber(redis.call('HGET', bucket, 'frozen_until') or '0')
if frozen_until > now then
  return {0, frozen_until - now, 'frozen', redis.call('HGET', bucket, 'frozen_why') or '', '', ''}
end

-- A place kept from before is given back first; what it reserved is free for its holder.
local kept = redis.call('GET', place)
if kept then
  for field, amount in string.gmatch(kept, '(%S+) (%S+)') do
    if redis.call('HEXISTS', bucket, field) == 1 then
      redis.call('HINCRBY', bucket, field, '-' .. amount)
    end
  end
  redis.call('DEL', place)
end

local function counted(name, label, limit, period, amount)
  local width = math.max(1, math.ceil(period / SLOTS))
  local current = math.floor(now / width)
  local first = current - SLOTS
  local prefix = name .. ':' .. width .. ':'
  local purged = tonumber(redis.call('HGET', bucket, 'purged:' .. prefix) or '0')
  for slot = math.max(purged, first - 3 * SLOTS), first - 1 do
    redis.call('HDEL', bucket, prefix .. slot)
  end
  redis.call('HSET', bucket, 'purged:' .. prefix, first)
  local fields = {}
  for slot = first, first + 3 * SLOTS do
    fields[#fields + 1] = prefix .. slot
  end
  local counts = redis.call('HMGET', bucket, unpack(fields))
  local sums = {[0] = 0}
  for index = 1, #fields do
    sums[index] = sums[index - 1] + (tonumber(counts[index]) or 0)
  end
  return {label = label, limit = limit, width = width, amount = math.min(amount, limit),
          current = current, first = first, prefix = prefix, sums = sums}
end

-- What is counted in the 61 slots that end with `slot`.
local function window(dimension, slot)
  local index = slot - dimension.first + 1
  return dimension.sums[index] - dimension.sums[math.max(0, index - SLOTS - 1)]
end

-- The first time at or after `at` where the amount fits every window that it would be part of.
local function earliest(dimension, at)
  local wanted = math.floor(at / dimension.width)
  local start, slot, last = wanted, wanted, dimension.first + 3 * SLOTS
  while slot <= last and slot - start <= SLOTS do
    if window(dimension, slot) + dimension.amount > dimension.limit then
      start = slot + 1
    end
    slot = slot + 1
  end
  if start > dimension.current + SLOTS then return nil end
  if start == wanted then return at end
  return start * dimension.width
end

local limited, learned, longest = {}, {}, 60000
local asked = {
  {'r', 'requests', tonumber(ARGV[1]), tonumber(ARGV[2]), 1},
  {'t', 'tokens', tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])},
}
for _, one in ipairs(asked) do
  local name, label, limit, period, amount = unpack(one)
  if limit > 0 then
    limited[#limited + 1] = counted(name, label, limit, period, amount)
    longest = math.max(longest, period)
  else
    local said = redis.call('HGET', bucket, 'said:' .. name)
    if said then
      local level, cap, per_ms, at = string.match(said, '(%S+) (%S+) (%S+) (%S+)')
      level, cap, per_ms, at = tonumber(level), tonumber(cap), tonumber(per_ms), tonumber(at)
      level = math.min(cap, level + (now - at) * per_ms)
      local needed = math.min(amount, cap)
      if level < needed then
        return {0, math.ceil((needed - level) / per_ms), label, '', '', ''}
      end
      learned[#learned + 1] = {name, level - needed, cap, per_ms}
    end
  end
end

local at, short = now, ''
local settled = false
while not settled do
  settled = true
  for _, dimension in ipairs(limited) do
    local fits = earliest(dimension, at)
    if not fits then
      return {0, dimension.width * SLOTS, dimension.label, '', '', ''}
    end
    if fits > at then
      at, short, settled = fits, dimension.label, false
    end
  end
end

for _, one in ipairs(learned) do
  local name, level, cap, per_ms = unpack(one)
  redis.call('HSET', bucket, 'said:' .. name,
             string.format('%.17g %.17g %.17g %.17g', level, cap, per_ms, now))
end
local slots = {r = '', t = ''}
local booking = {}
for _, dimension in ipairs(limited) do
  local field = dimension.prefix .. math.floor(at / dimension.width)
  redis.call('HINCRBY', bucket, field, dimension.amount)
  slots[string.sub(dimension.prefix, 1, 1)] = field
  booking[#booking + 1] = field .. ' ' .. string.format('%d', dimension.amount)
end
if redis.call('EXISTS', bucket) == 1 and redis.call('PTTL', bucket) < 3 * longest then
  redis.call('PEXPIRE', bucket, 4 * longest)
end
if at > now then
  redis.call('SET', place, table.concat(booking, ' '), 'PX', at - now + longest)
  return {0, at - now, short, '', '', ''}
end
return {1, 0, '', '', slots.r, slots.t}
