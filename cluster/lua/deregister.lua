-- deregister.lua: a node leaves on its own accord.
--
-- KEYS[1]  sessions
-- KEYS[2]  asserting
-- KEYS[3]  nodes
-- KEYS[4]  stale
-- KEYS[5]  the node's record
-- KEYS[6]  the node's namespaces
-- KEYS[7]  control channel
-- ARGV[1]  node
-- ARGV[2]  session
-- ARGV[3]  what the keys of ended sessions' memberships begin with
--
-- Returns 1, or the error FENCED; then nothing was written.
--
-- Keeps: as evict.lua, of which this is the voluntary form. What the node was still a
-- member of is swept by the lease holder, whom the notice "gone" wakes.
if not stands(KEYS[1], ARGV[1], ARGV[2]) then return fenced() end
depart(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1], ARGV[2], KEYS[6], ARGV[3])
redis.call('UNLINK', KEYS[5])
redis.call('PUBLISH', KEYS[7], 'gone ' .. ARGV[2] .. ' ' .. ARGV[1])
return 1
