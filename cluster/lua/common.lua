-- common.lua: what several scripts need. It is put in front of each of them.
--
-- Time is Redis's own, in microseconds; caller's clocks play no part. All numbers
-- stay below 2^53, where Lua's doubles are exact, until the year 2255, and are
-- written with text(), since Lua's own conversion keeps 14 digits only.
--
-- A namespace's hash has the fields
--   epoch       of the incarnation
--   era         in which the hash was written; with another era it counts as absent
--   created     when, in us
--   retirement  in ms, how long it stays empty; negative: it is permanent
--   was         the epoch that this one continues after a loss of data, or 0
--   emptied     when the last member left, in us; absent while there are members
--   dismissed   when somebody asked that it retire at once, in us; absent while there are
--               members, and if nobody did
--   @<node>     "<session> <sockets>" for each member
local FIXED = 5 -- the fields that are always there

local function text(n) return string.format('%.0f', n) end

local function time()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end

-- tick: the next value of the hybrid clock at key: greater than all before it,
-- than floor, and than the time; so it grows though the key or the clock is lost.
local function tick(key, now, floor)
  local last = tonumber(redis.call('GET', key) or '0')
  local value = math.max(last + 1, floor + 1, now)
  redis.call('SET', key, text(value))
  return value
end

-- stands: whether this is the node's present session.
local function stands(sessions, node, session)
  return redis.call('HGET', sessions, node) == session
end

local function fenced() return redis.error_reply('FENCED the session does not stand') end

-- leads: whether the token is the lease's (see package lease for its value).
local function leads(lease, token)
  local value = redis.call('GET', lease)
  return value and string.match(value, '^(%d+) ') == token
end

local function lost() return redis.error_reply('LOST the token is not the lease\'s') end

-- settled: when the era is or was settled: a node TTL after it began.
local function settled(era)
  local e = redis.call('HMGET', era, 'began', 'ttl')
  return tonumber(e[1]) + tonumber(e[2]) * 1000
end

-- members: how many nodes are in a namespace that exists.
local function members(ns)
  return redis.call('HLEN', ns) - FIXED - redis.call('HEXISTS', ns, 'emptied')
    - redis.call('HEXISTS', ns, 'dismissed')
end

-- bear: a new incarnation, without members; it takes the place of an old dump's.
local function bear(ns, index, name, epoch, era, now, retirement, was)
  redis.call('DEL', ns)
  redis.call('HSET', ns, 'epoch', text(epoch), 'era', era, 'created', text(now),
    'retirement', retirement, 'was', was)
  redis.call('ZADD', index, 0, name)
end

-- enter: the node is a member; the namespace is not empty.
local function enter(ns, due, set, name, node, session, sockets)
  redis.call('HSET', ns, '@' .. node, session .. ' ' .. sockets)
  redis.call('HDEL', ns, 'emptied', 'dismissed')
  redis.call('ZREM', due, name)
  redis.call('SADD', set, name)
end

-- schedule: puts an empty namespace where retire.lua finds it. Time spent empty
-- counts from when the era is settled at the earliest: before, somebody may have
-- been in it and not have said so yet.
local function schedule(ns, due, era, name, emptied)
  local h = redis.call('HMGET', ns, 'retirement', 'dismissed')
  local retirement = tonumber(h[1])
  if retirement < 0 then
    redis.call('ZREM', due, name)
    return nil
  end
  local at = math.max(emptied, settled(era)) + retirement * 1000
  if h[2] then at = math.max(tonumber(h[2]), settled(era)) end
  redis.call('ZADD', due, text(at), name)
  return at
end

-- vacate: a member is gone; returns 1 if that leaves the namespace empty.
local function vacate(ns, due, era, name, now)
  if members(ns) > 0 then return 0 end
  redis.call('HSET', ns, 'emptied', text(now))
  schedule(ns, due, era, name, now)
  return 1
end

-- wake: the notice "due" to the lease holder, if this namespace is now the first.
local function wake(due, control, name, epoch)
  if redis.call('ZRANGE', due, 0, 0)[1] == name then
    redis.call('PUBLISH', control, 'due ' .. epoch .. ' ' .. name)
  end
end

-- depart: ends the session of a node and leaves its memberships to sweep.lua.
local function depart(sessions, asserting, nodes, stale, node, session, set, leftPrefix)
  redis.call('HDEL', sessions, node)
  redis.call('SREM', asserting, node)
  redis.call('ZREM', nodes, node)
  if redis.call('EXISTS', set) == 1 then
    redis.call('RENAME', set, leftPrefix .. session)
    redis.call('HSET', stale, session, node)
  end
end
