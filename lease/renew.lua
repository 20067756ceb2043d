-- renew.lua: prolong the lease, if it is still this grant's.
--
-- KEYS[1]  the lease: a string "<token> <nonce> <holder>"
-- ARGV[1]  token of the grant
-- ARGV[2]  nonce of the grant
-- ARGV[3]  length of the lease in ms, from now
--
-- Returns  1  prolonged
--          0  the lease is another's or nobody's; nothing was written
--
-- Keeps: a lease that has expired is not revived, though nobody took it yet:
-- its holder must have stopped trusting it.
local current = redis.call('GET', KEYS[1])
if not current then return 0 end
local token, nonce = string.match(current, '^(%d+) (%S+)')
if token ~= ARGV[1] or nonce ~= ARGV[2] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
