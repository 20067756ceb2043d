-- join.lua: a node's first socket in a namespace.
--
-- KEYS[1]  sessions
-- KEYS[2]  clock of epochs
-- KEYS[3]  the namespace: hash
-- KEYS[4]  namespaces: zset of full names
-- KEYS[5]  due
-- KEYS[6]  the node's namespaces: set
-- ARGV[1]  node
-- ARGV[2]  session
-- ARGV[3]  era of the session
-- ARGV[4]  full name of the namespace
-- ARGV[5]  retirement in ms, for a new incarnation; negative: it is permanent
-- ARGV[6]  the highest epoch that the node has seen
--
-- Returns {epoch, 1 if the incarnation is new and else 0}, or the error FENCED; then
-- nothing was written.
--
-- Keeps: a namespace has one incarnation at a time, with an epoch higher than all
-- before it; one with a member is not empty and not due. As the session stands, its era is the
-- present one (register.lua voids all sessions of others).
if not stands(KEYS[1], ARGV[1], ARGV[2]) then return fenced() end
local h = redis.call('HMGET', KEYS[3], 'era', 'epoch', '@' .. ARGV[1])
local epoch, born = tonumber(h[2] or '0'), 0
if h[1] ~= ARGV[3] then
  local now = time()
  born = 1
  epoch = tick(KEYS[2], now, math.max(epoch, tonumber(ARGV[6])))
  bear(KEYS[3], KEYS[4], ARGV[4], epoch, ARGV[3], now, ARGV[5], '0')
elseif h[3] and string.match(h[3], '^%d+') == ARGV[2] then
  return {epoch, 0} -- a member already, with its count of sockets
end
enter(KEYS[3], KEYS[5], KEYS[6], ARGV[4], ARGV[1], ARGV[2], '0')
return {epoch, born}
