-- Cancel a waiting or running event, or forget a finished one; or do nothing but forget a failed one.
-- KEYS  task_meta, result, finished channel's name
-- ARGV  group, event id, failure JSON, TTL seconds, inbox prefix, deferred prefix, deferred entries
--       prefix, counters prefix, 'failed' (forget only what has failed) or 'any', again prefix
local meta = fields_of(KEYS[1], 'status', 'queue', 'entry', 'stream', 'forgotten')
if not meta[1] then return 'not_found' end
if ARGV[9] == 'failed' and meta[1] ~= 'FAILURE' then
  return finished(meta[1]) and 'answered' or 'unfinished'
end
if finished(meta[1]) then
  if meta[5] then return 'not_found' end
  redis.call('DEL', KEYS[1], KEYS[2])
  -- A worker may still be on it (it was cancelled, or taken over), or tell its end once more because
  -- the reply was lost. It must find that it is over, or it would look like the answer to an event
  -- that a server without its data does not know.
  redis.call('HSET', KEYS[1], 'status', 'FAILURE', 'forgotten', 1)
  redis.call('EXPIRE', KEYS[1], 900)
  return 'forgotten'
end
local queue = meta[2]
-- What took the place of a key that was lost says too little.
if not queue then return 'not_found' end
redis.pcall('XACK', ARGV[5] .. queue, ARGV[1], meta[3])
redis.pcall('XDEL', ARGV[5] .. queue, meta[3])
redis.pcall('ZREM', ARGV[6] .. queue, ARGV[2])
redis.pcall('HDEL', ARGV[7] .. queue, ARGV[2])
redis.pcall('ZREM', ARGV[10] .. queue, ARGV[2])
-- `cancelled` is for earlier versions: where it stands they leave word, too, when they forget.
redis.call('HSET', KEYS[1], 'status', 'FAILURE', 'failure', ARGV[3], 'finished_at_ms', now_ms(),
  'cancelled', 1)
redis.call('EXPIRE', KEYS[1], ARGV[4])
count_all({ [ARGV[8] .. meta[4]] = { failed = 1, ['failed:cancelled'] = 1 } })
redis.call('PUBLISH', KEYS[3], ARGV[2])
return 'cancelled'
