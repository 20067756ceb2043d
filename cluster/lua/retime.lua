-- retime.lua: another retirement time for a namespace, from now on.
--
-- KEYS[1]  sessions
-- KEYS[2]  era
-- KEYS[3]  the namespace: hash
-- KEYS[4]  due
-- KEYS[5]  control channel
-- ARGV[1]  node
-- ARGV[2]  session
-- ARGV[3]  era of the session
-- ARGV[4]  full name of the namespace
-- ARGV[5]  epoch of the incarnation that is meant
-- ARGV[6]  retirement in ms; negative: it is permanent
--
-- Returns  {epoch, 1}  the namespace is empty, and is due by the new time
--          {epoch, 0}  it is occupied: its last node to leave says how long it stays
--          {0, 0}      that incarnation does not stand; nothing was written
--          or the error FENCED; nothing was written.
--
-- Keeps: an empty namespace is due when it has been empty for its retirement time; what it has
-- been empty already counts. Where nodes disagree about that time, the last word counts,
-- of this script or of leave.lua, whichever ran later: so nodes that read the same
-- configuration, one after the other, end with the same time. If the namespace is now the
-- earliest of all, the notice "due" wakes the lease holder.
if not stands(KEYS[1], ARGV[1], ARGV[2]) then return fenced() end
local h = redis.call('HMGET', KEYS[3], 'era', 'epoch', 'emptied')
if h[1] ~= ARGV[3] or h[2] ~= ARGV[5] then return {0, 0} end
redis.call('HSET', KEYS[3], 'retirement', ARGV[6])
-- What shall stay for ever is not dismissed any more, nor when it may go again later.
if tonumber(ARGV[6]) < 0 then redis.call('HDEL', KEYS[3], 'dismissed') end
if not h[3] then return {tonumber(h[2]), 0} end
schedule(KEYS[3], KEYS[4], KEYS[2], ARGV[4], tonumber(h[3]))
wake(KEYS[4], KEYS[5], ARGV[4], h[2])
return {tonumber(h[2]), 1}
