-- evict.lua: end the sessions of nodes that are silent past their time.
--
-- KEYS[1]  sessions
-- KEYS[2]  era
-- KEYS[3]  lease
-- KEYS[4]  asserting
-- KEYS[5]  nodes: zset node -> last heartbeat
-- KEYS[6]  stale
-- KEYS[7]  control channel
-- ARGV[1]  node (the holder)
-- ARGV[2]  session
-- ARGV[3]  token of the lease
-- ARGV[4]  how many nodes to evict, at most
-- ARGV[5]  what the keys of nodes begin with (same hash tag as the KEYS)
-- ARGV[6]  what the keys of ended sessions' memberships begin with
--
-- Returns  {0, wait, node, ...}  the evicted ones; the next may be silent too long in
--                                wait us (0: there are more now)
--          {1, wait}             the era is settled in wait us; nobody was evicted
--          {3, wait}             postponed for wait us; nobody was evicted
--          or the error FENCED or LOST; nothing was written.
--
-- Keeps: a node's session ends only after its own TTL without a heartbeat, by Redis's time, in
-- which Redis itself did not stand still: a gap between two runs of this script that is
-- longer than a third of the TTL, and the first run of an era, postpone all eviction by a
-- TTL. So the holder must run it more often than that. It looks at every node, of which
-- there are few.
if not stands(KEYS[1], ARGV[1], ARGV[2]) then return fenced() end
if not leads(KEYS[3], ARGV[3]) then return lost() end
local now, from = time(), settled(KEYS[2])
local e = redis.call('HMGET', KEYS[2], 'ttl', 'watched', 'postponed')
local ttl, watched, postponed = tonumber(e[1]) * 1000, tonumber(e[2] or '0'), tonumber(e[3] or '0')
if now - watched > ttl / 3 then postponed = now + ttl end
redis.call('HSET', KEYS[2], 'watched', text(now), 'postponed', text(postponed))
if now < from then return {1, from - now} end
if now < postponed then return {3, postponed - now} end
local out, wait = {0}, ttl
local nodes = redis.call('ZRANGE', KEYS[5], 0, -1, 'WITHSCORES')
for i = 1, #nodes, 2 do
  local node, key = nodes[i], ARGV[5] .. nodes[i]
  local own = tonumber(redis.call('HGET', key, 'ttl') or e[1]) * 1000
  local left = tonumber(nodes[i + 1]) + own - now
  if left <= 0 and #out <= tonumber(ARGV[4]) then
    local session = redis.call('HGET', KEYS[1], node) or '0'
    depart(KEYS[1], KEYS[4], KEYS[5], KEYS[6], node, session, key .. ':namespaces', ARGV[6])
    redis.call('UNLINK', key)
    redis.call('PUBLISH', KEYS[7], 'gone ' .. session .. ' ' .. node)
    out[#out + 1] = node
  else
    wait = math.min(wait, math.max(left, 0))
  end
end
table.insert(out, 2, wait)
return out
