-- leave.lua: a node's last socket in a namespace is gone.
--
-- KEYS[1]  sessions
-- KEYS[2]  era
-- KEYS[3]  the namespace: hash
-- KEYS[4]  due
-- KEYS[5]  the node's namespaces: set
-- KEYS[6]  control channel
-- ARGV[1]  node
-- ARGV[2]  session
-- ARGV[3]  era of the session
-- ARGV[4]  full name of the namespace
-- ARGV[5]  retirement in ms; negative: the namespace is permanent
--
-- Returns  {epoch, 1}  the namespace is empty everywhere, as of now
--          {epoch, 0}  it is not, or the node was no member; then nothing was written
--          {0, 0}      it does not stand; nothing was written
--          or the error FENCED; nothing was written.
--
-- Keeps: an empty namespace is due when it has been empty for its retirement time, which
-- is that of the last node that left. If that is the earliest of all, the notice "due"
-- wakes the lease holder.
if not stands(KEYS[1], ARGV[1], ARGV[2]) then return fenced() end
redis.call('SREM', KEYS[5], ARGV[4])
local h = redis.call('HMGET', KEYS[3], 'era', 'epoch')
if h[1] ~= ARGV[3] then return {0, 0} end
if redis.call('HDEL', KEYS[3], '@' .. ARGV[1]) == 0 then return {tonumber(h[2]), 0} end
redis.call('HSET', KEYS[3], 'retirement', ARGV[5])
local empty = vacate(KEYS[3], KEYS[4], KEYS[2], ARGV[4], time())
if empty == 1 then wake(KEYS[4], KEYS[6], ARGV[4], h[2]) end
return {tonumber(h[2]), empty}
