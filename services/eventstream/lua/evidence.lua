-- Counts one labelled pair: two near texts, and whether the model answers both the same.
-- KEYS 1 the hash of one scope's evidence.
-- ARGV 1 window number, 2 kinds of difference, 3 similarity bucket, 4 "agreed" or "disagreed",
--      5 life of the hash in seconds, 6 embedding model,
--      7 the epoch in which the answer was given that was checked; "" for a pair that was not given,
--      8 a number for the pair, from 0 to below 2^32,
--      then for each alarm: its name, what this outcome adds to it, where it rings.
-- Fields: window; embedding; kinds (how many there are); rank|KINDS (which came first);
--      epoch|KINDS (how often their evidence began anew); alarm|NAME|KINDS;
--      WINDOW|KINDS|BUCKET|agreed and ...|disagreed; WINDOW|seen (a bit for each pair).
-- Returns 1 when an alarm rang: the evidence of these kinds is gone and begins anew.
local MOST_KINDS = 64
local key, window, kinds = KEYS[1], tonumber(ARGV[1]), ARGV[2]

local function each_field(what)
  for _, field in ipairs(redis.call('HKEYS', key)) do what(field) end
end

local known = tonumber(redis.call('HGET', key, 'window') or '-1')
if window > known then
  each_field(function(field)
    local counted = tonumber(string.match(field, '^(%d+)|') or '')
    if counted and counted < window - 1 then
      redis.call('HDEL', key, field)
    elseif string.sub(field, 1, 6) == 'epoch|' then
      -- What was spent on earlier beginnings is spent a window; that it happened stays known.
      redis.call('HSET', key, field, 1)
    end
  end)
  redis.call('HSET', key, 'window', window, 'embedding', ARGV[6])
end

if redis.call('HEXISTS', key, 'rank|' .. kinds) == 0 then
  local rank = redis.call('HINCRBY', key, 'kinds', 1)
  -- What differs in nothing that matters is given without being asked about: it is always watched.
  if rank > MOST_KINDS and kinds ~= '' then
    redis.call('HINCRBY', key, 'kinds', -1)
    return 0
  end
  redis.call('HSET', key, 'rank|' .. kinds, rank)
end
redis.call('EXPIRE', key, ARGV[5])

-- The same two texts come back whenever their answer has expired: what they say a second time is no
-- second opinion. Two pairs may share a bit, whatever they say: then the later one is left out.
local SEEN_BYTES = 4096
if ARGV[7] == '' then
  local field, at = window .. '|seen', tonumber(ARGV[8]) % (SEEN_BYTES * 8)
  local seen = redis.call('HGET', key, field) or string.rep('\0', SEEN_BYTES)
  local place, mask = math.floor(at / 8) + 1, bit.lshift(1, at % 8)
  local byte = string.byte(seen, place)
  if bit.band(byte, mask) ~= 0 then return 0 end
  redis.call('HSET', key, field, string.sub(seen, 1, place - 1) .. string.char(bit.bor(byte, mask))
    .. string.sub(seen, place + 1))
end
redis.call('HINCRBY', key, window .. '|' .. kinds .. '|' .. ARGV[3] .. '|' .. ARGV[4], 1)

-- Only what was given tells that giving it has become wrong, and only of the epoch it was given in.
local epoch = redis.call('HGET', key, 'epoch|' .. kinds) or '0'
if ARGV[7] ~= epoch then return 0 end
local rang = false
for at = 9, #ARGV, 3 do
  local field = 'alarm|' .. ARGV[at] .. '|' .. kinds
  local level = tonumber(redis.call('HGET', key, field) or '0') + tonumber(ARGV[at + 1])
  redis.call('HSET', key, field, tostring(math.max(0, level)))
  rang = rang or level >= tonumber(ARGV[at + 2])
end
if not rang then return 0 end
each_field(function(field)
  local of = string.match(field, '^%d+|(.*)|%d+|%l+$') or string.match(field, '^alarm|%l+|(.*)$')
  if of == kinds then redis.call('HDEL', key, field) end
end)
redis.call('HINCRBY', key, 'epoch|' .. kinds, 1)
-- What begins anew may hear of the same pairs again.
redis.call('HDEL', key, window .. '|seen')
return 1
