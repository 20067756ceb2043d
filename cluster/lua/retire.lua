-- retire.lua: retire the namespaces that were empty for long enough.
--
-- KEYS[1]  sessions
-- KEYS[2]  era
-- KEYS[3]  lease
-- KEYS[4]  asserting
-- KEYS[5]  due
-- KEYS[6]  namespaces: zset of full names
-- KEYS[7]  control channel
-- ARGV[1]  node
-- ARGV[2]  session
-- ARGV[3]  era of the session
-- ARGV[4]  token of the lease
-- ARGV[5]  how many namespaces to look at, at most
-- ARGV[6]  what the keys of namespaces begin with (same hash tag as the KEYS)
--
-- Returns  {0, wait, name, epoch, late, ...}  the retired ones, late us after their time; the
--                                             next is due in wait us (0: there are more now;
--                                             -1: there is none)
--          {1, wait}                          the era is settled in wait us; nothing was decided
--          {2, -1}                            a session is asserting; nothing was decided
--          or the error FENCED or LOST; nothing was written.
--
-- Keeps: no namespace is retired that has a member, nor before it was empty for its
-- retirement time, all of it in a settled era, by Redis's time, nor while a node may still say
-- that it is in it, nor by anybody but the holder of the lease. Each is retired once, and
-- the notice "retired <epoch> <full name>" goes out with it. One that an old dump left is
-- forgotten without a notice.
if not stands(KEYS[1], ARGV[1], ARGV[2]) then return fenced() end
if not leads(KEYS[3], ARGV[4]) then return lost() end
local now, from = time(), settled(KEYS[2])
if now < from then return {1, from - now} end
if redis.call('EXISTS', KEYS[4]) == 1 then return {2, -1} end
local out = {0, -1}
local names = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', text(now), 'LIMIT', 0, ARGV[5])
for _, name in ipairs(names) do
  local ns = ARGV[6] .. name
  local h = redis.call('HMGET', ns, 'era', 'epoch', 'emptied', 'retirement')
  if h[1] ~= ARGV[3] then
    redis.call('DEL', ns)
    redis.call('ZREM', KEYS[5], name)
    redis.call('ZREM', KEYS[6], name)
  elseif not h[3] or members(ns) > 0 then
    redis.call('ZREM', KEYS[5], name)
  else
    local at = schedule(ns, KEYS[5], KEYS[2], name, tonumber(h[3]))
    if at and at <= now then
      redis.call('DEL', ns)
      redis.call('ZREM', KEYS[5], name)
      redis.call('ZREM', KEYS[6], name)
      redis.call('PUBLISH', KEYS[7], 'retired ' .. h[2] .. ' ' .. name)
      out[#out + 1] = name
      out[#out + 1] = tonumber(h[2])
      out[#out + 1] = now - at
    end
  end
end
local first = redis.call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')
if first[2] then out[2] = math.max(0, tonumber(first[2]) - now) end
return out
