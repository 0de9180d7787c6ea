-- Helpers in front of every script here. Time is Redis' own: one clock for all processes.
local function now_ms()
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end

-- Nobody freezes a bucket for longer (calls.py); what is frozen longer was frozen by a clock that has
-- gone back since.
local LONGEST_FREEZE_MS = 300000

-- Change what a slot of a limit holds, if it is there still. A slot that holds nothing goes.
local function change_slot(bucket, slot, change)
  if redis.call('HEXISTS', bucket, slot) == 1 and redis.call('HINCRBY', bucket, slot, change) <= 0 then
    redis.call('HDEL', bucket, slot)
  end
end

-- The micro-dollars of a hold, in which its member ends.
local function money_of(member) return tonumber(string.match(member, '(%d+)$')) end

-- Take a hold's money from the sum of what is set aside. A sum that is gone (evicted, or deleted by
-- hand) is made anew by hold_budget.lua.
local function give_back(usage, member)
  if redis.call('HEXISTS', usage, 'held_microdollars') == 1
    and redis.call('HINCRBY', usage, 'held_microdollars', -money_of(member)) < 0 then
    redis.call('HSET', usage, 'held_microdollars', 0)
  end
end
