-- Set money aside for a call that is about to be made.
--
-- KEYS  usage hash of the stream's day, sorted set of what is set aside (score: when it lapses,
--       infinite once it has)
-- ARGV  budget, estimate (micro-dollars), name of this hold, ms until it lapses, ms to keep
-- Gives 0: held; 1: what is in flight may use the rest up; 2: too little is left.
local usage, held = KEYS[1], KEYS[2]
local budget, estimate = tonumber(ARGV[1]), tonumber(ARGV[2])
local now = now_ms()

-- A process that died never settles; what it held comes back when it lapses. The hold stays without
-- its money, for a process that lives and tells late: in 0.1 one that is gone was told before.
for _, lapsed in ipairs(redis.call('ZRANGEBYSCORE', held, '-inf', now)) do
  redis.call('ZADD', held, '+inf', lapsed)
  give_back(usage, lapsed)
end

-- What lapses later than any hold does was made by a clock that has gone back since.
local latest = now + tonumber(ARGV[4])
for _, late in ipairs(redis.call('ZRANGEBYSCORE', held, '(' .. latest, '(+inf')) do
  redis.call('ZADD', held, latest, late)
end

local spent = tonumber(redis.call('HGET', usage, 'cost_microdollars') or '0')
local set_aside = tonumber(redis.call('HGET', usage, 'held_microdollars') or '')
if not set_aside or redis.call('EXISTS', held) == 0 then
  -- The day's first; or one of the two was evicted, or deleted by hand.
  set_aside = 0
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', held, now, '(+inf')) do
    set_aside = set_aside + money_of(member)
  end
end
if spent + estimate > budget then return 2 end
if spent + set_aside + estimate > budget then return 1 end
redis.call('ZADD', held, latest, ARGV[3] .. ':' .. string.format('%d', estimate))
redis.call('HSET', usage, 'held_microdollars', string.format('%d', set_aside + estimate))
redis.call('PEXPIRE', usage, ARGV[5])
redis.call('PEXPIRE', held, ARGV[5])
return 0
