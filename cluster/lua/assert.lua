-- assert.lua: say what incarnation a node has, and learn what became of it.
--
-- KEYS[1]  sessions
-- KEYS[2]  clock of epochs
-- KEYS[3]  era
-- KEYS[4]  the namespace: hash
-- KEYS[5]  namespaces: zset of full names
-- KEYS[6]  due
-- KEYS[7]  the node's namespaces: set
-- ARGV[1]  node
-- ARGV[2]  session
-- ARGV[3]  era of the session
-- ARGV[4]  full name of the namespace
-- ARGV[5]  epoch of the local incarnation; "0": it was made while Redis was away
-- ARGV[6]  era in which that epoch was last confirmed, by a join or an assert
-- ARGV[7]  "1": the node has sockets in it; else "0"
-- ARGV[8]  how many sockets
-- ARGV[9]  retirement in ms; negative: the namespace is permanent
--
-- Returns  {epoch, 1}  the local incarnation stands, under this epoch: its own, or the
--                      one that continues it since data was lost
--          {epoch, 2}  another incarnation stands
--          {epoch, 3}  none stood; the local one stands again, under this fresh epoch
--          {0, 0}      none stands; the local one, which is empty, was retired
--          or the error FENCED; nothing was written.
--
-- Keeps: an occupied incarnation is never answered that it was retired, and makes the
-- node a member. An empty one that was confirmed in this era and does not stand was retired
-- in it; one confirmed in a former era was lost with the data. Epochs handed in raise
-- the clock, so that no later one is lower.
if not stands(KEYS[1], ARGV[1], ARGV[2]) then return fenced() end
local now, occupied = time(), ARGV[7] == '1'
local h = redis.call('HMGET', KEYS[4], 'era', 'epoch', 'was')
local epoch, answer
if h[1] == ARGV[3] then
  epoch, answer = tonumber(h[2]), 2
  if ARGV[5] ~= '0' and (h[2] == ARGV[5] or h[3] == ARGV[5]) then answer = 1 end
elseif occupied or ARGV[6] ~= ARGV[3] then
  local floor = math.max(tonumber(h[2] or '0'), tonumber(ARGV[5]))
  epoch, answer = tick(KEYS[2], now, floor), 3
  bear(KEYS[4], KEYS[5], ARGV[4], epoch, ARGV[3], now, ARGV[9], ARGV[5])
  if not occupied then vacate(KEYS[4], KEYS[6], KEYS[3], ARGV[4], now) end
else
  return {0, 0}
end
if occupied then
  redis.call('HSET', KEYS[4], 'retirement', ARGV[9])
  enter(KEYS[4], KEYS[6], KEYS[7], ARGV[4], ARGV[1], ARGV[2], ARGV[8])
end
return {epoch, answer}
