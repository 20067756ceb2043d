-- sweep.lua: remove what sessions and eras that are over have left behind.
--
-- KEYS[1]  sessions
-- KEYS[2]  era
-- KEYS[3]  lease
-- KEYS[4]  stale: hash session -> node, of sessions that ended
-- KEYS[5]  due
-- KEYS[6]  namespaces: zset of full names
-- ARGV[1]  node (the holder)
-- ARGV[2]  session
-- ARGV[3]  era of the session
-- ARGV[4]  token of the lease
-- ARGV[5]  how many namespaces to look at, at most
-- ARGV[6]  what the keys of namespaces begin with (same hash tag as the KEYS)
-- ARGV[7]  what the keys of ended sessions' memberships begin with
--
-- Returns {1 if there is more to do and else 0, memberships removed, namespaces forgotten}
--         or the error FENCED or LOST; nothing was written.
--
-- Keeps: a membership is removed only if its session does not stand; a namespace that this
-- empties is empty as of now. A namespace written in a former era (an old dump) is
-- forgotten, without a notice: whoever has it asserts it. Each run of the script goes on where
-- the last one stopped: in the sets of the ended sessions, and at the cursor of the era.
if not stands(KEYS[1], ARGV[1], ARGV[2]) then return fenced() end
if not leads(KEYS[3], ARGV[4]) then return lost() end
local budget, removed, forgotten, now = tonumber(ARGV[5]), 0, 0, time()
local stale = redis.call('HGETALL', KEYS[4])
for i = 1, #stale, 2 do
  local session, field, left = stale[i], '@' .. stale[i + 1], ARGV[7] .. stale[i]
  for _, name in ipairs(redis.call('SPOP', left, text(budget))) do
    local ns = ARGV[6] .. name
    local h = redis.call('HMGET', ns, 'era', field)
    if h[1] == ARGV[3] and h[2] and string.match(h[2], '^%d+') == session then
      redis.call('HDEL', ns, field)
      vacate(ns, KEYS[5], KEYS[2], name, now)
      removed = removed + 1
    end
    budget = budget - 1
  end
  if redis.call('EXISTS', left) == 1 then return {1, removed, forgotten} end
  redis.call('HDEL', KEYS[4], session)
  if budget == 0 then return {1, removed, forgotten} end
end
local e = redis.call('HMGET', KEYS[2], 'cursor', 'swept')
if e[2] then return {0, removed, forgotten} end
local from = '-'
if e[1] then from = '(' .. e[1] end
local names = redis.call('ZRANGEBYLEX', KEYS[6], from, '+', 'LIMIT', 0, text(budget))
for _, name in ipairs(names) do
  local ns = ARGV[6] .. name
  if redis.call('HGET', ns, 'era') ~= ARGV[3] then
    redis.call('UNLINK', ns)
    redis.call('ZREM', KEYS[6], name)
    redis.call('ZREM', KEYS[5], name)
    forgotten = forgotten + 1
  end
end
if #names < budget then
  redis.call('HSET', KEYS[2], 'swept', '1')
  return {0, removed, forgotten}
end
redis.call('HSET', KEYS[2], 'cursor', names[#names])
return {1, removed, forgotten}
