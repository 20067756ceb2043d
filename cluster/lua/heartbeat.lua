-- heartbeat.lua: say that the node lives, and how it is.
--
-- KEYS[1]   sessions
-- KEYS[2]   asserting
-- KEYS[3]   nodes: zset node -> last heartbeat
-- KEYS[4]   the node's record: hash
-- KEYS[5]   control channel
-- ARGV[1]   node
-- ARGV[2]   session
-- ARGV[3]   "1": the session has had the answer to its last assert; else "0"
-- ARGV[4..] field, value, ... of the node's record
--
-- Returns 1, or the error FENCED; then nothing was written.
--
-- Keeps: a session counts as asserting until it has said done. The last one to say so
-- wakes the lease holder through the control channel.
if not stands(KEYS[1], ARGV[1], ARGV[2]) then return fenced() end
redis.call('ZADD', KEYS[3], text(time()), ARGV[1])
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 1]) end
if ARGV[3] == '1' and redis.call('SREM', KEYS[2], ARGV[1]) == 1 and redis.call('SCARD', KEYS[2]) == 0 then
  redis.call('PUBLISH', KEYS[5], 'asserted ' .. ARGV[2] .. ' ' .. ARGV[1])
end
return 1
