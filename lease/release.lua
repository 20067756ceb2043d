-- release.lua: give the lease back, if it is still this candidacy's.
--
-- KEYS[1]  the lease: a string "<token> <nonce> <holder>"
-- ARGV[1]  nonce of the candidacy. Not the token: a candidate that gives up
--          without an answer does not know which token it was granted.
--
-- Returns  1  released; an empty message went out on channel KEYS[1]:released
--          0  the lease is another's or nobody's; nothing was written
local current = redis.call('GET', KEYS[1])
if not current then return 0 end
if string.match(current, '^%d+ (%S+)') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', KEYS[1] .. ':released', '')
return 1
